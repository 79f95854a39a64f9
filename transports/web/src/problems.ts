/** Every way a call can fail, and what the caller is told. Pure: no browser object is touched here. */

export type ProblemCode =
  | "mic_not_found"
  | "mic_refused"
  | "mic_busy"
  | "mic_lost"
  | "mic_failed"
  | "insecure_context"
  | "no_webrtc"
  | "token_required"
  | "server_full"
  | "not_ready"
  | "server_unreachable"
  | "server_error"
  | "media_failed"
  | "connection_lost"
  | "call_error";

export interface Problem {
  readonly code: ProblemCode;
  readonly title: string;
  readonly help: string;
  /** Whether a call with the keyboard alone would get around it. */
  readonly textHelps?: boolean;
}

const TEXTS: Record<ProblemCode, Omit<Problem, "code">> = {
  mic_not_found: {
    title: "No microphone was found.",
    help: "Plug one in and try again, or call without one and type.",
    textHelps: true,
  },
  mic_refused: {
    title: "This page may not use the microphone.",
    help: "Allow it in the browser's address bar or site settings and try again, or call without it and type.",
    textHelps: true,
  },
  mic_busy: {
    title: "The microphone cannot be opened.",
    help: "Another program may be using it. Close that program or choose another microphone, then try again.",
    textHelps: true,
  },
  mic_lost: {
    title: "The microphone went away.",
    help: "Plug it in again or choose another one. The call goes on, and you can type meanwhile.",
  },
  mic_failed: {
    title: "The microphone did not start.",
    help: "Choose another microphone and try again, or call without one and type.",
    textHelps: true,
  },
  insecure_context: {
    title: "Browsers give a microphone only to secure pages.",
    help: "Open this page over https, or on the agent's own machine as http://localhost. Without a microphone you can type.",
    textHelps: true,
  },
  no_webrtc: {
    title: "This browser cannot make calls.",
    help: "It lacks WebRTC, or WebRTC is switched off. A current Firefox, Chrome, Edge or Safari will do.",
  },
  token_required: {
    title: "This agent asks for an access token.",
    help: "Enter the token that its owner gave you.",
  },
  server_full: {
    title: "All lines are busy.",
    help: "The agent is talking to as many callers as it can. Try again in a moment.",
  },
  not_ready: {
    title: "The agent is still starting.",
    help: "Its models are being loaded. Try again in a moment.",
  },
  server_unreachable: {
    title: "The agent cannot be reached.",
    help: "Check that it is running and that this device is on the same network, then try again.",
  },
  server_error: {
    title: "The agent could not take the call.",
    help: "Try again. If it happens again, its log says why.",
  },
  media_failed: {
    title: "Sound could not get through.",
    help: "The agent answered, but no audio path was found. A firewall may block UDP between this device and the agent.",
  },
  connection_lost: {
    title: "The connection was lost.",
    help: "Several tries to get it back failed. Call again when the network is back.",
  },
  call_error: {
    title: "The call broke off.",
    help: "Something went wrong at the agent. Call again.",
  },
};

/** `help` of the server, where it said something more exact, replaces ours. */
export function problem(code: ProblemCode, help?: string): Problem {
  const text = TEXTS[code];
  return { code, ...text, help: help || text.help };
}

/** Names from the Media Capture and Streams specification, section on getUserMedia. */
export function microphoneProblem(errorName: string): Problem {
  switch (errorName) {
    case "NotFoundError":
    case "DevicesNotFoundError":
    case "OverconstrainedError":
      return problem("mic_not_found");
    case "NotAllowedError":
    case "PermissionDeniedError":
    case "SecurityError":
      return problem("mic_refused");
    case "NotReadableError":
    case "TrackStartError":
    case "AbortError":
      return problem("mic_busy");
    default:
      return problem("mic_failed");
  }
}

export interface Refusal {
  readonly status: number;
  readonly code?: string;
  readonly message?: string;
  readonly retryAfterSecs?: number;
}

/** What an HTTP refusal means to the caller. Status 0 stands for no answer at all. */
export function refusalProblem(refusal: Refusal): Problem {
  const { status, code, message, retryAfterSecs } = refusal;
  if (status === 0 || status === 502 || status === 504) return problem("server_unreachable");
  if (status === 401 || status === 403) return problem("token_required");
  if (code === "not_ready") return problem("not_ready", retryHint(retryAfterSecs, "Its models are being loaded."));
  if (code === "server_full" || status === 503)
    return problem("server_full", retryHint(retryAfterSecs, "The agent is talking to as many callers as it can."));
  return problem("server_error", message);
}

const retryHint = (secs: number | undefined, why: string): string | undefined =>
  secs ? `${why} Try again in about ${secs} ${secs === 1 ? "second" : "seconds"}.` : undefined;

export type EndReason = "time_limit" | "idle" | "shutdown" | "hangup" | "error";

const ENDINGS: Record<EndReason, string> = {
  time_limit: "The call reached its time limit.",
  idle: "The call was ended because nobody spoke for a while.",
  shutdown: "The agent is shutting down.",
  hangup: "The agent hung up.",
  error: "The call broke off because something went wrong at the agent.",
};

export const endingText = (reason: string, message?: string): string =>
  message || ENDINGS[reason as EndReason] || ENDINGS.hangup;
