import type { PipecatClientOptions, Tracks } from "@pipecat-ai/client-js";
import { recall, remember } from "./memory";

const CHOICE_KEY = "voice-agent.microphone";

export const rememberedMic = (): string => recall(CHOICE_KEY);

export const rememberMic = (deviceId: string): void => remember(CHOICE_KEY, deviceId);

/** Before the caller has allowed the microphone, browsers list it without id and name: such entries are left out. */
export async function listMics(): Promise<MediaDeviceInfo[]> {
  const devices = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
  return devices.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId);
}

/**
 * The microphone of one call, in the shape of the transport's media manager, which comes without Daily's library.
 * Video, screen sharing and bot audio are not its business: the page plays the incoming track itself.
 */
export class Microphone {
  /** Called when the device is unplugged or taken away, not when we stop it. */
  onLost: () => void = () => {};
  onTrack: (track: MediaStreamTrack) => void = () => {};
  readonly supportsScreenShare = false;
  readonly isCamEnabled = false;
  readonly isSharingScreen = false;
  readonly selectedCam = {};
  readonly selectedSpeaker = {};
  private track: MediaStreamTrack | undefined;
  private enabled = true;

  /** @throws DOMException named as in problems.ts */
  async open(deviceId = rememberedMic()): Promise<void> {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: constraints(deviceId), video: false });
    this.adopt(stream.getAudioTracks()[0]!);
  }

  close(): void {
    if (!this.track) return;
    this.track.onended = null;
    MediaStreamTrack.prototype.stop.call(this.track);
    this.track = undefined;
  }

  get isOpen(): boolean {
    return this.track?.readyState === "live";
  }

  setClientOptions(options: PipecatClientOptions): void {
    this.enabled = options.enableMic ?? true;
  }

  async initialize(): Promise<void> {}
  async connect(): Promise<void> {}

  async disconnect(): Promise<void> {
    this.close();
  }

  tracks(): Tracks {
    return { local: this.track ? { audio: this.track } : {} };
  }

  enableMic(enable: boolean): void {
    this.enabled = enable;
    if (this.track) this.track.enabled = enable;
  }

  get isMicEnabled(): boolean {
    return this.enabled && this.isOpen;
  }

  get selectedMic(): MediaDeviceInfo | Record<string, never> {
    const { deviceId, groupId } = this.track?.getSettings() ?? {};
    return deviceId
      ? ({ deviceId, groupId, kind: "audioinput", label: this.track!.label } as MediaDeviceInfo)
      : {};
  }

  async updateMic(deviceId: string): Promise<void> {
    const before = this.track;
    await this.open(deviceId);
    if (before) MediaStreamTrack.prototype.stop.call(before);
  }

  getAllMics = listMics;
  getAllCams = async (): Promise<MediaDeviceInfo[]> => [];
  getAllSpeakers = async (): Promise<MediaDeviceInfo[]> => [];
  updateCam(): void {}
  updateSpeaker(): void {}
  enableCam(): void {}
  enableScreenShare(): void {}
  setUserAudioCallback(): void {}
  async userStartedSpeaking(): Promise<void> {}
  bufferBotAudio(): undefined {}

  private adopt(track: MediaStreamTrack): void {
    if (this.track) this.track.onended = null;
    // The transport stops the sender's track with every connection that it drops, also when it reconnects and sends the
    // same track over the next one. The track is ours to stop.
    track.stop = () => {};
    track.onended = () => this.onLost();
    track.enabled = this.enabled;
    this.track = track;
    this.onTrack(track);
  }
}

/** `ideal`, not `exact`: where the remembered microphone is gone, another one beats a refusal. */
const constraints = (deviceId: string): MediaTrackConstraints => ({
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
  ...(deviceId ? { deviceId: { ideal: deviceId } } : {}),
});
