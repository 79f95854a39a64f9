import type { PipecatClientOptions, RTVIMessage } from "@pipecat-ai/client-js";
import { SmallWebRTCTransport } from "@pipecat-ai/small-webrtc-transport";
import type { Microphone } from "./microphone";

/** What the transport keeps to itself; its declarations leave it out. Checked against the exact version in package.json. */
interface Inside {
  readonly pc: RTCPeerConnection | null;
  attemptReconnection(withNewPeerConnection: boolean): Promise<void>;
}

/**
 * Pipecat's transport, plus what the page needs and the client does not pass on: messages that client-js does not know
 * (`user-input`, `bot-interrupted`), whether the link is up, and changing the microphone in mid-call.
 */
export class AgentTransport extends SmallWebRTCTransport {
  constructor(
    private readonly microphone: Microphone,
    private readonly onRtvi: (message: RTVIMessage) => void,
  ) {
    // The declaration names a type of a package that is bundled, not installed; Microphone has all of its members.
    super({ mediaManager: microphone as never });
  }

  override initialize(options: PipecatClientOptions, messageHandler: (message: RTVIMessage) => void): void {
    super.initialize(options, (message) => {
      this.onRtvi(message);
      messageHandler(message);
    });
  }

  /** ICE notices a vanished peer after about eight seconds. */
  get linkIsUp(): boolean {
    const state = this.peer?.iceConnectionState;
    return state === "connected" || state === "completed";
  }

  /** Undefined where the browser does not count them. */
  async receivedBytes(): Promise<number | undefined> {
    const stats = (await this.peer?.getStats()) ?? [];
    let total: number | undefined;
    stats.forEach((entry: { type: string; bytesReceived?: number }) => {
      if (entry.type === "candidate-pair" && entry.bytesReceived !== undefined)
        total = (total ?? 0) + entry.bytesReceived;
    });
    return total;
  }

  /** Begins at once what the transport begins of itself ten seconds later. It minds one attempt at a time. */
  reconnect(): void {
    void this.inside.attemptReconnection(true);
  }

  override async updateMic(deviceId: string): Promise<void> {
    await this.microphone.updateMic(deviceId);
    const track = this.microphone.tracks().local.audio ?? null;
    // The transport offers audio first, always.
    await this.peer?.getTransceivers()[0]?.sender.replaceTrack(track);
  }

  private get peer(): RTCPeerConnection | null {
    return this.inside.pc;
  }

  private get inside(): Inside {
    return this as unknown as Inside;
  }
}
