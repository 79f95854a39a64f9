import { describe, expect, it } from "vitest";
import { type CallEvent, IDLE, inCall, next } from "../machine";
import { problem } from "../problems";

const run = (...events: CallEvent[]) => events.reduce(next, IDLE);
const start: CallEvent = { type: "start" };
const ready: CallEvent = { type: "ready" };
const lost: CallEvent = { type: "link-lost" };

describe("the call's states", () => {
  it("goes live, loses the link, gets it back and ends", () => {
    expect(run(start, { type: "step", step: "media" })).toEqual({ phase: "connecting", step: "media" });
    expect(run(start, ready).phase).toBe("live");
    expect(run(start, ready, lost).phase).toBe("reconnecting");
    expect(run(start, ready, lost, { type: "link-back" }).phase).toBe("live");
    expect(run(start, ready, { type: "ended", note: "You hung up." })).toEqual({ phase: "ended", note: "You hung up." });
  });

  it("goes back to idle when a call never began, and to ended when it had", () => {
    const full = problem("server_full");
    expect(run(start, { type: "failed", problem: full })).toEqual({ phase: "idle", problem: full });
    const gone = problem("connection_lost");
    expect(run(start, ready, lost, { type: "failed", problem: gone })).toEqual({ phase: "ended", problem: gone });
  });

  it("ignores late news of a call that is over", () => {
    const ended = run(start, ready, { type: "ended", note: "The agent hung up." });
    for (const late of [ready, lost, { type: "failed", problem: problem("call_error") }] as CallEvent[])
      expect(next(ended, late)).toBe(ended);
  });

  it("starts no second call during one, and forgets the last problem with the next", () => {
    const live = run(start, ready);
    expect(next(live, start)).toBe(live);
    expect(run(start, { type: "failed", problem: problem("not_ready") }, start)).toEqual({ phase: "connecting" });
    expect(inCall(live)).toBe(true);
  });
});
