import { byId } from "./dom";

/** Plays the agent's voice, and asks for a tap where the browser refuses to play unasked. */
export class VoiceView {
  private readonly audio = byId<HTMLAudioElement>("voice");
  private readonly hear = byId<HTMLButtonElement>("hear");

  constructor() {
    this.hear.addEventListener("click", () => void this.play());
  }

  listenTo(track: MediaStreamTrack): void {
    this.audio.srcObject = new MediaStream([track]);
    void this.play();
  }

  stop(): void {
    this.audio.srcObject = null;
    this.hear.hidden = true;
  }

  private async play(): Promise<void> {
    try {
      await this.audio.play();
      this.hear.hidden = true;
    } catch (error) {
      // AbortError: a newer track took this one's place, and that one plays.
      if ((error as DOMException).name === "NotAllowedError") this.hear.hidden = false;
    }
  }
}
