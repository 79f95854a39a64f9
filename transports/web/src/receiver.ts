import type { BotOutput, CaptionStore, UserInput } from "./captions";
import { asLatency, isLatency, type Latency } from "./latency";
import { type Floor, type FloorEvent, nextFloor, THINKING_LIMIT_MS } from "./turn";

/** Sorts the RTVI messages of one call into captions and the floor. */
export class Receiver {
  private floor: Floor = "listening";
  private thinkingTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly captions: CaptionStore,
    private readonly onFloor: (floor: Floor) => void,
    private readonly onLatency: (latency: Latency) => void = () => {},
  ) {
    onFloor(this.floor);
  }

  receive(type: string, data: Record<string, unknown>): void {
    switch (type) {
      case "user-input":
        return this.captions.userInput(data as unknown as UserInput);
      case "bot-output":
        return this.captions.botOutput(data as unknown as BotOutput);
      case "bot-llm-started":
        this.captions.botStartedThinking();
        return this.turn(type);
      case "bot-started-speaking":
        this.captions.botStartedSpeaking();
        return this.turn(type);
      case "bot-stopped-speaking":
        this.captions.botStoppedSpeaking();
        return this.turn(type);
      case "bot-interrupted":
        this.captions.botInterrupted();
        return this.turn(type);
      case "user-started-speaking":
        this.captions.userStartedSpeaking();
        return this.turn(type);
      case "user-stopped-speaking":
        this.captions.userStoppedSpeaking();
        return this.turn(type);
      case "server-message":
        return this.serverMessage(data);
    }
  }

  typed(text: string): void {
    this.captions.userTyped(text);
    this.turn("user-typed");
  }

  notice(text: string): void {
    this.captions.notice(text);
  }

  finish(): void {
    clearTimeout(this.thinkingTimer);
    this.captions.finish();
    this.onFloor("listening");
  }

  private serverMessage(data: Record<string, unknown>): void {
    if (isLatency(data)) this.measured(asLatency(data));
    if (data.type === "interrupted" && typeof data.heard === "string") this.captions.interrupted(data.heard);
    if (data.type === "problem" && typeof data.message === "string") this.captions.notice(data.message);
  }

  private measured(latency: Latency): void {
    this.captions.latency(latency);
    this.onLatency(latency);
  }

  private turn(event: FloorEvent): void {
    const floor = nextFloor(this.floor, event);
    if (floor === this.floor) return;
    this.floor = floor;
    this.onFloor(floor);
    clearTimeout(this.thinkingTimer);
    if (floor === "thinking")
      this.thinkingTimer = setTimeout(() => this.turn("gave-up-thinking"), THINKING_LIMIT_MS);
  }
}
