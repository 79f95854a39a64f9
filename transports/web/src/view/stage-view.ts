import { LevelMeter, smooth } from "../levels";
import { type CallState, inCall, type Step } from "../machine";
import { type Floor, FLOOR_TEXT } from "../turn";
import { byId, setText } from "./dom";

const STEP_TEXT: Record<Step, string> = {
  microphone: "Waiting for the microphone. Your browser may ask.",
  server: "Calling the agent",
  media: "Connecting sound",
};

const CALL_LABEL: Record<CallState["phase"], string> = {
  idle: "Start call",
  connecting: "Cancel",
  live: "Hang up",
  reconnecting: "Hang up",
  ended: "Call again",
};

const BACK_AGAIN_MS = 4_000;

/** The round figure, the words under it and the call button. */
export class StageView {
  private readonly call = byId<HTMLButtonElement>("call");
  private readonly bars = [...byId("orb").children] as HTMLElement[];
  private readonly still = matchMedia("(prefers-reduced-motion: reduce)");
  private shownLevel = 0;

  showState(state: CallState, wasReconnecting: boolean): void {
    document.body.dataset.state = state.phase;
    this.call.dataset.state = state.phase;
    setText(this.call.querySelector("span")!, CALL_LABEL[state.phase]);
    setText(byId("status"), statusText(state, wasReconnecting));
    byId("text-call").hidden = inCall(state);
    if (wasReconnecting && state.phase === "live") this.sayBackAgain();
  }

  /** For a moment the status takes the place of the floor. */
  private sayBackAgain(): void {
    document.body.classList.add("back-again");
    setTimeout(() => document.body.classList.remove("back-again"), BACK_AGAIN_MS);
  }

  showFloor(floor: Floor): void {
    document.body.dataset.floor = floor;
    setText(byId("floor"), FLOOR_TEXT[floor]);
  }

  /** Bars follow whoever has the floor; with reduced motion they stand still and only their colour tells. */
  showLevel(level: number): void {
    this.shownLevel = this.still.matches ? 0 : smooth(this.shownLevel, level);
    const weights = [0.45, 0.8, 1, 0.75, 0.5];
    this.bars.forEach((bar, i) => bar.style.setProperty("--height", (this.shownLevel * weights[i]!).toFixed(3)));
  }

  /** Back to the figure that the style sheet draws at rest. */
  rest(): void {
    this.shownLevel = 0;
    this.bars.forEach((bar) => bar.style.removeProperty("--height"));
  }
}

function statusText(state: CallState, wasReconnecting: boolean): string {
  switch (state.phase) {
    case "idle":
      return state.problem ? "" : "Press the button, then speak.";
    case "connecting":
      return state.step ? STEP_TEXT[state.step] : "Calling the agent";
    case "live":
      return wasReconnecting ? "Back again." : "You are in the call.";
    case "reconnecting":
      return "Connection lost, reconnecting...";
    case "ended":
      return state.note ?? "The call has ended.";
  }
}

/** Both directions' loudness, drawn while a call lasts. */
export class Levels {
  private context: AudioContext | undefined;
  private mic: LevelMeter | undefined;
  private voice: LevelMeter | undefined;
  private frame = 0;
  private shownMic = 0;
  private readonly meter = byId("level");

  constructor(private readonly stage: StageView) {}

  /** Called from a click: browsers start no audio context otherwise. */
  start(): void {
    this.context ??= new AudioContext();
    void this.context.resume();
    this.mic = new LevelMeter(this.context);
    this.voice = new LevelMeter(this.context);
    cancelAnimationFrame(this.frame);
    this.draw();
  }

  stop(): void {
    cancelAnimationFrame(this.frame);
    this.mic?.listenTo(undefined);
    this.voice?.listenTo(undefined);
    this.show(0);
    this.stage.rest();
  }

  listenToMic = (track: MediaStreamTrack): void => this.mic?.listenTo(track);
  listenToVoice = (track: MediaStreamTrack): void => this.voice?.listenTo(track);

  private readonly draw = (): void => {
    const mic = this.mic?.read() ?? 0;
    this.shownMic = smooth(this.shownMic, mic);
    this.show(this.shownMic);
    const speaking = document.body.dataset.floor === "speaking";
    this.stage.showLevel(speaking ? (this.voice?.read() ?? 0) : mic);
    this.frame = requestAnimationFrame(this.draw);
  };

  private show(level: number): void {
    this.meter.style.setProperty("--level", level.toFixed(3));
    const percent = String(Math.round(level * 20) * 5);
    if (this.meter.getAttribute("aria-valuenow") !== percent) this.meter.setAttribute("aria-valuenow", percent);
  }
}
