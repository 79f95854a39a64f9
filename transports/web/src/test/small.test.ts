import { describe, expect, it } from "vitest";
import { formatMs } from "../latency";
import { levelOf, smooth } from "../levels";
import { GIVE_UP_MS, Heartbeat, LinkWatch, SILENT_MS } from "../link";
import { type FloorEvent, nextFloor } from "../turn";

describe("latency text", () => {
  it("is in milliseconds below a second, in seconds above", () => {
    expect([640, 999.4, 1000, 2340].map(formatMs)).toEqual(["640 ms", "999 ms", "1.0 s", "2.3 s"]);
  });
});

describe("levels", () => {
  it("are 0 in silence, 1 at full scale, and between for speech", () => {
    expect(levelOf(new Float32Array(64))).toBe(0);
    expect(levelOf(new Float32Array(64).fill(1))).toBe(1);
    expect(levelOf(new Float32Array(64).fill(0.03))).toBeCloseTo(0.57, 1);
  });

  it("rise faster than they fall", () => {
    expect(smooth(0, 1)).toBeGreaterThan(1 - smooth(1, 0));
  });
});

describe("the link", () => {
  it("is lost, comes back, and is given up only after its time", () => {
    const watch = new LinkWatch();
    expect(watch.sample(true, 0)).toBeUndefined();
    expect(watch.sample(false, 1_000)).toBe("lost");
    expect(watch.sample(false, 2_000)).toBeUndefined();
    expect(watch.sample(true, 3_000)).toBe("back");
    expect(watch.sample(false, 4_000)).toBe("lost");
    expect(watch.sample(false, 4_000 + GIVE_UP_MS)).toBe("given-up");
  });
});

describe("the heartbeat", () => {
  it("fails when nothing has arrived for a while, and beats again with the next byte", () => {
    const heartbeat = new Heartbeat();
    expect(heartbeat.sample(100, 0)).toBe(true);
    expect(heartbeat.sample(100, SILENT_MS - 1)).toBe(true);
    expect(heartbeat.sample(100, SILENT_MS)).toBe(false);
    expect(heartbeat.sample(101, SILENT_MS + 1)).toBe(true);
  });

  it("says nothing where the browser does not count", () => {
    expect(new Heartbeat().sample(undefined, 10 * SILENT_MS)).toBe(true);
  });
});

describe("the floor", () => {
  const run = (...events: FloorEvent[]) => events.reduce(nextFloor, "listening");

  it("passes from the caller to the agent and back", () => {
    expect(run("user-started-speaking")).toBe("hearing");
    expect(run("user-started-speaking", "user-stopped-speaking")).toBe("thinking");
    expect(run("user-typed", "bot-started-speaking")).toBe("speaking");
    expect(run("bot-started-speaking", "bot-stopped-speaking")).toBe("listening");
  });

  it("goes to the caller who interrupts, and stays there when the agent then falls silent", () => {
    expect(run("bot-started-speaking", "user-started-speaking", "bot-interrupted", "bot-stopped-speaking")).toBe("hearing");
  });

  it("does not think for ever about a turn without an answer", () => {
    expect(run("user-started-speaking", "user-stopped-speaking", "gave-up-thinking")).toBe("listening");
  });
});
