import { type Problem, type Refusal, refusalProblem } from "./problems";

export interface AgentInfo {
  readonly name: string;
  readonly version: string;
  /** `label` is null until the agent has looked which mind there is. */
  readonly brain: { readonly label: string | null; readonly small: boolean };
  readonly voice: string;
  readonly max_call_secs: number;
  readonly idle_secs: number;
  readonly ice_servers: RTCIceServer[];
}

export interface Session {
  readonly sessionId: string;
  readonly iceConfig?: { readonly iceServers?: RTCIceServer[] };
}

const TIMEOUT_MS = 10_000;
const PROBE_MS = 2_000;

/** Relative to the page, so that the agent may also live below a path of a reverse proxy. */
export const apiUrl = (path: string): string => new URL(path, document.baseURI).href;

export class RefusedError extends Error {
  constructor(readonly refusal: Refusal) {
    super(refusal.message ?? `HTTP ${refusal.status}`);
  }

  get problem(): Problem {
    return refusalProblem(this.refusal);
  }
}

/** Reads `{"error": {"code", "message"}}`, and bears any other body: a proxy may have answered in our place. */
export async function refusalOf(response: Response): Promise<Refusal> {
  const body: unknown = await response.json().catch(() => null);
  const error = (body as { error?: { code?: string; message?: string } } | null)?.error;
  const retryAfter = Number(response.headers.get("Retry-After"));
  return {
    status: response.status,
    code: error?.code,
    message: error?.message,
    retryAfterSecs: retryAfter > 0 ? Math.ceil(retryAfter) : undefined,
  };
}

async function request(path: string, init?: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(apiUrl(path), { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new RefusedError({ status: 0 });
  }
  if (!response.ok) throw new RefusedError(await refusalOf(response));
  return response;
}

/** Whether anything at all answers over HTTP just now. */
export const isReachable = (): Promise<boolean> =>
  fetch(apiUrl("api/info"), { cache: "no-store", signal: AbortSignal.timeout(PROBE_MS) }).then(
    () => true,
    () => false,
  );

const post = (path: string, body: unknown): Promise<Response> =>
  request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });

export const getInfo = async (): Promise<AgentInfo> => (await request("api/info")).json();

export const startSession = async (): Promise<Session> =>
  (await post("start", { transport: "webrtc", body: {} })).json();

export const sendToken = async (token: string): Promise<void> => void (await post("api/token", { token }));

export const offerUrl = (session: Session): string =>
  apiUrl(`sessions/${encodeURIComponent(session.sessionId)}/api/offer`);
