import type { Latency } from "./latency";

/** One spoken or typed passage. `remaining` is text that the agent has yet to speak; cut off, it never will. */
export interface Caption {
  readonly id: number;
  readonly role: "user" | "agent" | "notice";
  text: string;
  remaining: string;
  final: boolean;
  cutOff: boolean;
  latency?: Latency;
}

/** The part of RTVI's `bot-output` that captions need (protocol 2). */
export interface BotOutput {
  readonly text: string;
  readonly segment_id?: number;
  readonly will_be_spoken?: boolean;
  readonly spoken_status?: "new" | "in-progress" | "completed";
  readonly spoken_progress?: { readonly accumulated_text: string; readonly remaining_text: string };
}

/** The part of RTVI's `user-input` that captions need. */
export interface UserInput {
  readonly text: string;
  readonly input_type: "transcription" | "chat" | "backchannel";
  readonly final: boolean;
}

interface Segment {
  spoken: string;
  remaining: string;
}

/** Turns RTVI messages into captions. `onChange` is called with each caption that appeared or changed. */
export class CaptionStore {
  readonly items: Caption[] = [];
  private readonly segments = new Map<number, Map<number, Segment>>();
  private readonly typed: string[] = [];
  private nextId = 1;
  private unnamedSegment = -1;
  private user: Caption | undefined;
  private userFinal = "";
  private userTurnOver = false;
  private agent: Caption | undefined;
  /** The answer that was cut off just now, until the server has told what was played of it. */
  private cut: Caption | undefined;
  private botSpeaking = false;
  private pendingLatency: Latency | undefined;

  constructor(private readonly onChange: (caption: Caption) => void = () => {}) {}

  /** What the caller typed is shown at once; the server's echo of it is then passed over. */
  userTyped(text: string): void {
    this.typed.push(text);
    this.closeTurn();
    this.changed(this.add("user", text, true));
  }

  userInput(input: UserInput): void {
    if (input.input_type === "backchannel") return;
    if (input.input_type === "chat") return this.typedEcho(input.text);
    const text = input.text.trim();
    if (!text) return;
    this.closeAgent();
    this.user ??= this.add("user", "", false);
    if (input.final) this.userFinal = join(this.userFinal, text);
    this.user.text = input.final ? this.userFinal : join(this.userFinal, text);
    this.user.final = input.final;
    this.changed(this.user);
  }

  userStoppedSpeaking(): void {
    this.userTurnOver = true;
    this.cut = undefined;
  }

  /** A transcript may come after its turn has ended, so that a turn's caption stays open until the next turn begins. */
  userStartedSpeaking(): void {
    if (this.userTurnOver) this.closeUser();
    this.userTurnOver = false;
  }

  botOutput(output: BotOutput): void {
    const key = output.segment_id ?? this.unnamedSegment--;
    const caption = this.captionOfSegment(key) ?? this.openAgent();
    if (caption.cutOff) return;
    const parts = this.segments.get(caption.id)!;
    parts.set(key, progressOf(output));
    const all = [...parts.values()];
    caption.text = all.map((part) => part.spoken).reduce(join, "");
    caption.remaining = all.map((part) => part.remaining).reduce(join, "");
    caption.final = !caption.remaining && !this.botSpeaking;
    this.changed(caption);
  }

  botStartedThinking(): void {
    this.closeTurn();
  }

  botStartedSpeaking(): void {
    this.botSpeaking = true;
    if (this.agent) this.settle(this.agent, false);
  }

  botStoppedSpeaking(): void {
    this.botSpeaking = false;
    if (this.agent) this.settle(this.agent, !this.agent.remaining);
  }

  /**
   * The server says so at every turn of the caller's; it cuts something off only while there is an answer to cut.
   * What was not spoken by then goes: nobody heard it.
   */
  botInterrupted(): void {
    const unfinished = this.botSpeaking || (!!this.agent?.remaining && !this.agent.cutOff);
    if (!unfinished) return;
    const caption = this.agent ?? this.openAgent();
    caption.cutOff = true;
    caption.remaining = "";
    this.botSpeaking = false;
    this.settle(caption, true);
    this.agent = undefined;
    this.cut = caption;
  }

  /** What the server knows was played of the answer that was cut off. It may say so just before `botInterrupted`. */
  interrupted(heard: string): void {
    if (!this.cut) this.botInterrupted();
    if (!this.cut) return;
    this.cut.text = heard;
    this.changed(this.cut);
    this.cut = undefined;
  }

  /** Belongs to the newest answer, or to the next one where the measurement comes before its first caption. */
  latency(latency: Latency): void {
    const newest = this.items.findLast((item) => item.role !== "notice");
    if (newest?.role === "agent" && !newest.latency) {
      newest.latency = latency;
      this.changed(newest);
    } else this.pendingLatency = latency;
  }

  notice(text: string): void {
    this.changed(this.add("notice", text, true));
  }

  /** Nothing more will come: what was still open is final, and what was never spoken was cut off. */
  finish(): void {
    this.botInterrupted();
    this.closeTurn();
  }

  private typedEcho(text: string): void {
    const mine = this.typed.indexOf(text);
    if (mine >= 0) this.typed.splice(mine, 1);
    else {
      this.closeTurn();
      this.changed(this.add("user", text, true));
    }
  }

  private captionOfSegment(key: number): Caption | undefined {
    return this.items.find((item) => this.segments.get(item.id)?.has(key));
  }

  private openAgent(): Caption {
    this.closeUser();
    this.cut = undefined;
    if (!this.agent) {
      this.agent = this.add("agent", "", false);
      this.segments.set(this.agent.id, new Map());
      if (this.pendingLatency) this.agent.latency = this.pendingLatency;
      this.pendingLatency = undefined;
    }
    return this.agent;
  }

  private closeTurn(): void {
    this.closeUser();
    this.closeAgent();
  }

  private closeUser(): void {
    if (this.user) this.settle(this.user, true);
    this.user = undefined;
    this.userFinal = "";
  }

  private closeAgent(): void {
    if (this.agent && !this.botSpeaking) this.settle(this.agent, true);
    if (!this.botSpeaking) this.agent = undefined;
  }

  private settle(caption: Caption, final: boolean): void {
    caption.final = final;
    this.changed(caption);
  }

  private add(role: Caption["role"], text: string, final: boolean): Caption {
    const caption: Caption = { id: this.nextId++, role, text, remaining: "", final, cutOff: false };
    this.items.push(caption);
    return caption;
  }

  private changed(caption: Caption): void {
    this.onChange(caption);
  }
}

const join = (left: string, right: string): string => [left.trim(), right.trim()].filter(Boolean).join(" ");

function progressOf(output: BotOutput): Segment {
  if (output.spoken_status === "completed" || output.will_be_spoken === false || !output.spoken_progress)
    return { spoken: output.text, remaining: "" };
  return { spoken: output.spoken_progress.accumulated_text, remaining: output.spoken_progress.remaining_text };
}
