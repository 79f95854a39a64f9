import { describe, expect, it } from "vitest";
import { asLatency, axisOf, bars, describe as inWords, isLatency, type Latency, medianMs, placeOn } from "../latency";

const turn = (whole: number, timeline: Latency["timeline"] = {}, stages: Latency["stages"] = {}): Latency => ({
  turn: 1,
  voice_to_voice_ms: whole,
  stages,
  timeline,
});
const spans = (latency: Latency) => bars(latency).map(({ lane, beginMs, endMs }) => [lane, beginMs, endMs]);

describe("a turn's bars", () => {
  it("lie where the stages worked, and may overlap", () => {
    const early = turn(910, { tts_ms: [500, 560], vad_ms: [0, 200], llm_ms: [170, 500], turn_ms: [200, 900] });
    expect(spans(early)).toEqual([
      [0, 0, 200],
      [2, 200, 900],
      [3, 170, 500],
      [4, 500, 560],
    ]);
  });

  it("lie end to end where the server tells only what each added", () => {
    expect(spans(turn(640, {}, { tts_ms: 40, vad_ms: 200, stt_ms: 0, llm_ms: null }))).toEqual([
      [0, 0, 200],
      [1, 200, 200],
      [4, 200, 240],
    ]);
  });

  it("can be read out", () => {
    expect(inWords(turn(1340, { vad_ms: [0, 200], llm_ms: [400.4, 1250] }))).toBe(
      "Turn 1, answered in 1.3 s: noticing that you stopped 0 to 200 ms, thinking of an answer 0.4 to 1.3 s.",
    );
    expect(inWords(turn(640))).toBe("Turn 1, answered in 640 ms.");
  });
});

describe("the time axis", () => {
  it("reaches from the earliest work to the last answer, with round marks", () => {
    const axis = axisOf([turn(640, { vad_ms: [0, 200] }), turn(1340, { llm_ms: [-60, 900] })]);
    expect(axis).toEqual({ beginMs: -60, endMs: 1340, ticksMs: [0, 500, 1000] });
    expect([-60, 640, 1340, 5000].map((ms) => placeOn(axis, ms))).toEqual([0, 0.5, 1, 1]);
  });

  it("has a few marks however long a turn took", () => {
    for (const whole of [1, 90, 640, 4_000, 60_000]) expect(axisOf([turn(whole)]).ticksMs.length).toBeLessThan(8);
  });
});

it("the median is the middle one, or between the two in the middle", () => {
  expect(medianMs([900, 500, 700].map((whole) => turn(whole)))).toBe(700);
  expect(medianMs([900, 500].map((whole) => turn(whole)))).toBe(700);
});

it("a server that knows no timeline is understood", () => {
  const message = { type: "latency", turn: 2, voice_to_voice_ms: 640, stages: { vad_ms: 200 } };
  expect(isLatency(message)).toBe(true);
  expect(asLatency(message)).toEqual({ turn: 2, voice_to_voice_ms: 640, stages: { vad_ms: 200 }, timeline: {} });
});
