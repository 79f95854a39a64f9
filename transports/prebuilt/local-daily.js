// Stands in for Daily's library in Pipecat's prebuilt client, which uses it only to open the microphone. Daily's own
// loads its code from Daily's servers and reports errors to a third party; nothing of a call leaves this house.
// It has what Pipecat's DailyMediaManager calls, for a microphone; a camera and a shared screen are not sent.

const LEVEL_PERIOD_MS = 100;

class CallObject {
  constructor() {
    this.handlers = new Map();
    this.track = null;
    this.enabled = true;
    this.levelTimer = null;
  }

  on(event, handler) {
    this.handlers.set(event, [...(this.handlers.get(event) ?? []), handler]);
    return this;
  }

  off(event, handler) {
    this.handlers.set(event, (this.handlers.get(event) ?? []).filter((known) => known !== handler));
    return this;
  }

  emit(event, detail) {
    for (const handler of this.handlers.get(event) ?? []) handler({ action: event, ...detail });
  }

  async startCamera({ startAudioOff } = {}) {
    this.enabled = !startAudioOff;
    navigator.mediaDevices?.addEventListener("devicechange", this.tellDevices);
    if (this.enabled) await this.open();
    return this.selected();
  }

  async open(deviceId) {
    try {
      const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
      if (deviceId) audio.deviceId = { ideal: deviceId };
      const stream = await navigator.mediaDevices.getUserMedia({ audio });
      this.close();
      [this.track] = stream.getAudioTracks();
      this.emit("track-started", { participant: this.participants().local, track: this.track });
    } catch (error) {
      this.emit("camera-error", { error: describe(error) });
    }
  }

  close() {
    const { track } = this;
    if (!track) return;
    this.track = null;
    track.stop();
    this.emit("track-stopped", { participant: this.participants().local, track });
  }

  leave() {
    clearInterval(this.levelTimer);
    this.levelTimer = null;
    this.context?.close();
    this.context = null;
    navigator.mediaDevices?.removeEventListener("devicechange", this.tellDevices);
    this.close();
  }

  tellDevices = async () => {
    this.emit("available-devices-updated", { availableDevices: (await this.enumerateDevices()).devices });
  };

  async enumerateDevices() {
    return { devices: (await navigator.mediaDevices?.enumerateDevices()) ?? [] };
  }

  selected() {
    const { deviceId, groupId } = this.track?.getSettings() ?? {};
    const mic = deviceId ? { deviceId, groupId, kind: "audioinput", label: this.track.label } : {};
    return { mic, camera: {}, speaker: {} };
  }

  async setInputDevicesAsync({ audioDeviceId }) {
    if (audioDeviceId) await this.open(audioDeviceId);
    this.emit("selected-devices-updated", { devices: this.selected() });
    return this.selected();
  }

  async setOutputDeviceAsync() {
    return this.selected();
  }

  participants() {
    const audio = this.track ? { persistentTrack: this.track, state: "playable" } : { state: "off" };
    const off = { state: "off" };
    return {
      local: {
        local: true,
        user_id: "local",
        user_name: "",
        session_id: "local",
        tracks: { audio, video: off, screenAudio: off, screenVideo: off },
      },
    };
  }

  setLocalAudio(enable) {
    this.enabled = enable;
    if (enable) return this.open();
    this.close();
  }

  setLocalVideo() {}
  startScreenShare() {}
  stopScreenShare() {}
  localAudio = () => this.track !== null;
  localVideo = () => false;
  localScreenAudio = () => false;
  localScreenVideo = () => false;
  isLocalAudioLevelObserverRunning = () => this.levelTimer !== null;

  async startLocalAudioLevelObserver() {
    this.levelTimer = setInterval(() => this.measureLevel(), LEVEL_PERIOD_MS);
  }

  async stopLocalAudioLevelObserver() {
    clearInterval(this.levelTimer);
    this.levelTimer = null;
  }

  measureLevel() {
    if (!this.track) return;
    if (this.measured !== this.track) {
      this.context ??= new AudioContext();
      this.analyser = this.context.createAnalyser();
      this.context.createMediaStreamSource(new MediaStream([this.track])).connect(this.analyser);
      this.measured = this.track;
    }
    const samples = new Float32Array(this.analyser.fftSize);
    this.analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    this.emit("local-audio-level", { audioLevel: Math.min(1, Math.sqrt(power) * 4) });
  }
}

function describe(error) {
  const msg = error.message;
  switch (error.name) {
    case "NotAllowedError":
      return { type: "permissions", msg, blockedBy: "user", blockedMedia: ["audio"] };
    case "NotFoundError":
      return { type: "not-found", msg, missingMedia: ["audio"] };
    case "NotReadableError":
      return { type: "mic-in-use", msg };
    default:
      return { type: "unknown", msg };
  }
}

let instance = null;

const Daily = {
  getCallInstance: () => instance,
  createCallObject: () => (instance = new CallObject()),
};

export { Daily as t, Daily as default };
