import { LogLevel, logger, PipecatClient, type RTVIMessage } from "@pipecat-ai/client-js";
import { isReachable, offerUrl, RefusedError, refusalOf, startSession } from "./api";
import { Heartbeat, LinkWatch } from "./link";
import type { CallEvent } from "./machine";
import { Microphone } from "./microphone";
import { endingText, microphoneProblem, type Problem, problem, refusalProblem } from "./problems";
import { AgentTransport } from "./transport";

const CONNECT_LIMIT_MS = 30_000;
const LINK_SAMPLE_MS = 400;
const REJECTION_MS = 1_000;

// Its debug log holds transcripts.
logger.setLevel(LogLevel.ERROR);

export interface CallListener {
  event(event: CallEvent): void;
  /** Every RTVI message of the server, in order. */
  message(type: string, data: Record<string, unknown>): void;
  microphone(track: MediaStreamTrack): void;
  microphoneLost(): void;
  voice(track: MediaStreamTrack): void;
}

class Failed extends Error {
  constructor(readonly problem: Problem) {
    super(problem.title);
  }
}

/** One call, from the press of the button to its end. A new call is a new object. */
export class Call {
  private readonly mic = new Microphone();
  private readonly transport = new AgentTransport(this.mic, (message) => this.received(message));
  private readonly client: PipecatClient;
  private readonly link = new LinkWatch();
  private readonly heartbeat = new Heartbeat();
  private probing = false;
  private linkTimer: ReturnType<typeof setInterval> | undefined;
  private ending: CallEvent | undefined;
  private over = false;
  private hasHadMic: boolean;

  constructor(
    private readonly listener: CallListener,
    private readonly withMic: boolean,
  ) {
    this.hasHadMic = withMic;
    this.mic.onTrack = (track) => listener.microphone(track);
    this.mic.onLost = () => listener.microphoneLost();
    this.client = new PipecatClient({
      transport: this.transport,
      // The microphone is opened here, before the client is asked for anything: see openMicrophone.
      enableMic: false,
      callbacks: {
        onTrackStarted: (track) => track.kind === "audio" && listener.voice(track),
        onDisconnected: () => this.disconnected(),
        onError: (message) => this.serverError(message),
      },
    });
  }

  async start(): Promise<void> {
    const { listener } = this;
    listener.event({ type: "start" });
    try {
      if (!("RTCPeerConnection" in window)) throw new Failed(problem("no_webrtc"));
      if (this.withMic) await this.openMicrophone();
      if (this.over) return;
      listener.event({ type: "step", step: "server" });
      const session = await startSession();
      if (this.over) return;
      listener.event({ type: "step", step: "media" });
      await this.connect(session);
      if (this.over) return;
      listener.event({ type: "ready" });
      this.linkTimer = setInterval(() => void this.sampleLink(), LINK_SAMPLE_MS);
    } catch (error) {
      this.end({ type: "failed", problem: await problemOf(error) });
    }
  }

  hangUp(): void {
    this.end({ type: "ended", note: "You hung up." });
  }

  get hasMic(): boolean {
    return this.mic.isOpen;
  }

  get hasLostMic(): boolean {
    return this.hasHadMic && !this.mic.isOpen;
  }

  mute(muted: boolean): void {
    this.client.enableMic(!muted);
  }

  /** @throws DOMException when the chosen microphone does not open; the one before goes on */
  async chooseMic(deviceId: string): Promise<void> {
    await this.transport.updateMic(deviceId);
    // Only the first microphone of a call begun without one: a caller who has muted stays muted on the next device.
    if (!this.hasHadMic) this.mute(false);
    this.hasHadMic = true;
  }

  /** False when the line is down just now: the text should stay in its box. */
  sendText(text: string): boolean {
    if (!this.transport.linkIsUp || this.client.state !== "ready") return false;
    void this.client.sendText(text);
    return true;
  }

  /** First of all, so that a refused microphone takes no line of the server's. */
  private async openMicrophone(): Promise<void> {
    this.listener.event({ type: "step", step: "microphone" });
    if (!navigator.mediaDevices?.getUserMedia)
      throw new Failed(problem(window.isSecureContext ? "no_webrtc" : "insecure_context"));
    try {
      await this.mic.open();
    } catch (error) {
      throw new Failed(microphoneProblem((error as DOMException).name));
    }
    if (this.over) this.mic.close();
    this.mic.enableMic(true);
  }

  /** client-js waits for ever for the server's readiness, and the transport for a path that ICE never finds. */
  private async connect(session: Awaited<ReturnType<typeof startSession>>): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const limit = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Failed(problem("media_failed"))), CONNECT_LIMIT_MS);
    });
    const connected = this.client.connect({
      webrtcRequestParams: { endpoint: offerUrl(session) },
      ...(session.iceConfig ? { iceConfig: session.iceConfig } : {}),
    });
    try {
      await Promise.race([connected, limit]);
    } finally {
      clearTimeout(timer);
      connected.catch(() => {});
    }
  }

  private received({ type, data }: RTVIMessage): void {
    if (this.over) return;
    const body = (data ?? {}) as Record<string, unknown>;
    if (type === "server-message" && body.type === "call-ending") this.ending = endingOf(body);
    this.listener.message(type, body);
  }

  private serverError({ data }: RTVIMessage): void {
    const { fatal, error } = (data ?? {}) as { fatal?: boolean; error?: string };
    if (fatal) this.end({ type: "failed", problem: problem("call_error", error) });
  }

  private async sampleLink(): Promise<void> {
    const bytes = await this.transport.receivedBytes();
    if (this.over) return;
    const now = performance.now();
    const isHeard = this.heartbeat.sample(bytes, now);
    const news = this.link.sample(isHeard && this.transport.linkIsUp, now);
    // After its farewell the server closes the line: that is no loss.
    if (this.ending && news) return this.end(this.ending);
    if (news === "lost") this.listener.event({ type: "link-lost" });
    if (news === "back") this.listener.event({ type: "link-back" });
    if (news === "given-up") return this.end({ type: "failed", problem: problem("connection_lost") });
    if (!isHeard && this.transport.linkIsUp) await this.mendSilence();
  }

  /**
   * ICE believes in the link, but nothing arrives. Where the server answers over HTTP, only this path is dead (the
   * caller changed networks, say), and a new one is made. Where it does not, there is no use yet: a short outage
   * mends by itself, and each attempt is one of the three that the transport allows.
   */
  private async mendSilence(): Promise<void> {
    if (this.probing) return;
    this.probing = true;
    const reachable = await isReachable();
    this.probing = false;
    if (reachable && !this.over && !this.heartbeat.sample(await this.transport.receivedBytes(), performance.now()))
      this.transport.reconnect();
  }

  /** The transport has let go: the server left, or reconnecting came to nothing. */
  private disconnected(): void {
    if (!this.linkTimer) {
      // connect() rejects with the cause in most cases, but not once the data channel is open: then nobody else tells.
      setTimeout(() => this.end(this.ending ?? { type: "failed", problem: problem("call_error") }), REJECTION_MS);
      return;
    }
    const lost = this.client.state === "error";
    this.end(
      this.ending ??
        (lost
          ? { type: "failed", problem: problem("connection_lost") }
          : { type: "ended", note: endingText("hangup") }),
    );
  }

  private end(event: CallEvent): void {
    if (this.over) return;
    this.over = true;
    clearInterval(this.linkTimer);
    this.listener.event(event);
    this.mic.close();
    void this.client.disconnect().catch(() => {});
  }
}

function endingOf(body: Record<string, unknown>): CallEvent {
  const reason = String(body.reason ?? "hangup");
  const message = typeof body.message === "string" ? body.message : undefined;
  if (reason === "error") return { type: "failed", problem: problem("call_error", message) };
  return { type: "ended", note: endingText(reason, message) };
}

/** The transport hides the server's answer to its offer in the error's `cause`. */
async function problemOf(error: unknown): Promise<Problem> {
  if (error instanceof Failed || error instanceof RefusedError) return error.problem;
  const cause = (error as { cause?: unknown } | undefined)?.cause;
  if (cause instanceof Response) return refusalProblem(await refusalOf(cause));
  if (cause instanceof TypeError) return problem("server_unreachable");
  return problem("media_failed");
}
