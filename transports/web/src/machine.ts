import type { Problem } from "./problems";

/** Where a call stands. `document.body.dataset.state` shows the phase. */
export type Phase = "idle" | "connecting" | "live" | "reconnecting" | "ended";
export type Step = "microphone" | "server" | "media";

export interface CallState {
  readonly phase: Phase;
  /** What a connecting call waits for. */
  readonly step?: Step;
  /** Why the call could not start or could not go on. */
  readonly problem?: Problem;
  /** A plain sentence on how the call ended, when nothing went wrong. */
  readonly note?: string;
}

export type CallEvent =
  | { readonly type: "start" }
  | { readonly type: "step"; readonly step: Step }
  | { readonly type: "ready" }
  | { readonly type: "link-lost" }
  | { readonly type: "link-back" }
  | { readonly type: "failed"; readonly problem: Problem }
  | { readonly type: "ended"; readonly note: string };

export const IDLE: CallState = { phase: "idle" };

const IN_CALL: readonly Phase[] = ["connecting", "live", "reconnecting"];

export const inCall = (state: CallState): boolean => IN_CALL.includes(state.phase);

/** An event that does not fit the phase changes nothing: late callbacks of a call that is over are expected. */
export function next(state: CallState, event: CallEvent): CallState {
  switch (event.type) {
    case "start":
      return inCall(state) ? state : { phase: "connecting" };
    case "step":
      return state.phase === "connecting" ? { phase: "connecting", step: event.step } : state;
    case "ready":
      return state.phase === "connecting" ? { phase: "live" } : state;
    case "link-lost":
      return state.phase === "live" ? { phase: "reconnecting" } : state;
    case "link-back":
      return state.phase === "reconnecting" ? { phase: "live" } : state;
    case "failed":
      return inCall(state) ? failed(state, event.problem) : state;
    case "ended":
      return inCall(state) ? { phase: "ended", note: event.note } : state;
  }
}

/** A call that never began leaves the page ready for another try; one that had begun has ended. */
const failed = (state: CallState, problem: Problem): CallState => ({
  phase: state.phase === "connecting" ? "idle" : "ended",
  problem,
});
