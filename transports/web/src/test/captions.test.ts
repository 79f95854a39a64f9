import { describe, expect, it } from "vitest";
import { type BotOutput, CaptionStore } from "../captions";

const said = (text: string, final = true) => ({ text, final, input_type: "transcription" as const });
const echo = (text: string) => ({ text, final: true, input_type: "chat" as const });
const segment = (id: number, spoken: string, remaining: string): BotOutput => ({
  text: `${spoken} ${remaining}`.trim(),
  segment_id: id,
  will_be_spoken: true,
  spoken_status: remaining ? (spoken ? "in-progress" : "new") : "completed",
  spoken_progress: { accumulated_text: spoken, remaining_text: remaining },
});
const latency = (turn: number) => ({ turn, voice_to_voice_ms: 640, stages: {}, timeline: {} });
const brief = (store: CaptionStore) => store.items.map(({ role, text }) => `${role}: ${text}`);

describe("the caller's captions", () => {
  it("shows interim text in place and joins the finals of one turn", () => {
    const store = new CaptionStore();
    store.userInput(said("what will", false));
    store.userInput(said("what will the weather", false));
    expect(store.items).toMatchObject([{ text: "what will the weather", final: false }]);
    store.userInput(said("What will the weather be"));
    store.userInput(said("in Paris?"));
    expect(store.items).toMatchObject([{ text: "What will the weather be in Paris?", final: true }]);
  });

  it("begins anew with the next turn, though the last one got no answer and its transcript came late", () => {
    const store = new CaptionStore();
    store.userStartedSpeaking();
    store.userStoppedSpeaking();
    store.userInput(said("One."));
    store.userStartedSpeaking();
    store.userInput(said("Two."));
    expect(brief(store)).toEqual(["user: One.", "user: Two."]);
  });

  it("begins anew once the agent has taken the turn", () => {
    const store = new CaptionStore();
    store.userInput(said("One."));
    store.botStartedThinking();
    store.userInput(said("Two."));
    expect(brief(store)).toEqual(["user: One.", "user: Two."]);
  });

  it("shows typed text once, though the server sends it back", () => {
    const store = new CaptionStore();
    store.userTyped("Hello");
    store.userInput(echo("Hello"));
    store.userInput(echo("From elsewhere"));
    expect(brief(store)).toEqual(["user: Hello", "user: From elsewhere"]);
  });

  it("passes over backchannels and empty transcripts", () => {
    const store = new CaptionStore();
    store.userInput({ text: "mhm", final: true, input_type: "backchannel" });
    store.userInput(said("  "));
    expect(store.items).toEqual([]);
  });
});

describe("the agent's captions", () => {
  it("parts what was spoken from what is yet to come, over several sentences", () => {
    const store = new CaptionStore();
    store.botStartedSpeaking();
    store.botOutput(segment(7, "", "Good morning."));
    store.botOutput(segment(9, "", "How are you?"));
    store.botOutput(segment(7, "Good morning.", ""));
    expect(store.items).toMatchObject([{ text: "Good morning.", remaining: "How are you?", final: false }]);
    store.botOutput(segment(9, "How are you?", ""));
    store.botStoppedSpeaking();
    expect(store.items).toMatchObject([{ text: "Good morning. How are you?", remaining: "", final: true }]);
  });

  it("marks an interrupted answer as cut off and puts the next one in a caption of its own", () => {
    const store = new CaptionStore();
    store.botStartedSpeaking();
    store.botOutput(segment(1, "Well,", "that depends."));
    store.botInterrupted();
    store.botStoppedSpeaking();
    store.botOutput(segment(1, "Well, that", "depends."));
    store.userInput(said("Stop."));
    store.botOutput(segment(2, "All right.", ""));
    expect(store.items).toMatchObject([
      { text: "Well,", remaining: "", cutOff: true, final: true },
      { role: "user", text: "Stop." },
      { text: "All right.", cutOff: false },
    ]);
  });

  it("shows of an interrupted answer what the server says was played, whichever of its two messages comes first", () => {
    for (const heardFirst of [false, true]) {
      const store = new CaptionStore();
      store.botStartedSpeaking();
      store.botOutput(segment(1, "Well, that", "depends."));
      if (heardFirst) store.interrupted("Well,");
      store.botInterrupted();
      if (!heardFirst) store.interrupted("Well,");
      store.botStoppedSpeaking();
      expect(store.items).toMatchObject([{ text: "Well,", remaining: "", cutOff: true, final: true }]);
    }
  });

  it("takes what was played for no other answer than the one just cut off", () => {
    const store = new CaptionStore();
    store.botStartedSpeaking();
    store.botOutput(segment(1, "Something went wrong.", "Sorry."));
    store.botInterrupted();
    store.userStoppedSpeaking();
    store.interrupted("");
    store.botOutput(segment(2, "All right.", ""));
    store.interrupted("Never shown.");
    expect(brief(store)).toEqual(["agent: Something went wrong.", "agent: All right."]);
    expect(store.items.map((item) => item.cutOff)).toEqual([true, false]);
  });

  it("marks nothing when an interruption finds the agent silent", () => {
    const store = new CaptionStore();
    store.botStartedSpeaking();
    store.botOutput(segment(1, "Done.", ""));
    store.botStoppedSpeaking();
    store.botInterrupted();
    store.finish();
    expect(store.items).toMatchObject([{ cutOff: false, final: true }]);
  });
});

describe("latency", () => {
  it("belongs to the newest answer, or to the next when it comes first", () => {
    const store = new CaptionStore();
    store.botOutput(segment(1, "One.", ""));
    store.latency(latency(1));
    store.userInput(said("And?"));
    store.latency(latency(2));
    store.botOutput(segment(2, "Two.", ""));
    expect(store.items.map((item) => item.latency?.turn)).toEqual([1, undefined, 2]);
  });

  it("is not put off by a notice in between", () => {
    const store = new CaptionStore();
    store.botOutput(segment(1, "One.", ""));
    store.notice("The voice stumbled.");
    store.latency(latency(1));
    expect(store.items[0]?.latency?.turn).toBe(1);
  });
});
