import { listMics, rememberedMic, rememberMic } from "../microphone";
import { byId, setText } from "./dom";

/** The choice of microphone and the mute button. */
export class MicView {
  private readonly select = byId<HTMLSelectElement>("mic");
  private readonly button = byId<HTMLButtonElement>("mute");
  private isMuted = false;

  constructor(
    private readonly onChoose: (deviceId: string) => void,
    private readonly onMute: (muted: boolean) => void,
  ) {
    this.select.addEventListener("change", () => {
      rememberMic(this.select.value);
      this.onChoose(this.select.value);
    });
    this.button.addEventListener("click", () => this.mute(!this.isMuted));
    navigator.mediaDevices?.addEventListener("devicechange", () => void this.refresh());
  }

  async refresh(): Promise<void> {
    const mics = (await listMics()).filter(({ deviceId }) => deviceId !== "default");
    const chosen = rememberedMic() || this.select.value;
    const options = mics.map(({ label, deviceId }, i) => new Option(label || `Microphone ${i + 1}`, deviceId));
    this.select.replaceChildren(new Option("The system's usual one", ""), ...options);
    this.select.value = mics.some(({ deviceId }) => deviceId === chosen) ? chosen : "";
  }

  /** `available` is false in a call that was begun without a microphone. */
  showAvailable(available: boolean): void {
    this.button.disabled = !available;
    document.body.classList.toggle("no-mic", !available);
  }

  mute(muted: boolean): void {
    this.isMuted = muted;
    setText(this.button.querySelector("span")!, muted ? "Unmute" : "Mute");
    this.button.setAttribute("aria-pressed", String(muted));
    document.body.classList.toggle("muted", muted);
    this.onMute(muted);
  }
}
