import { describe, expect, it } from "vitest";
import { endingText, microphoneProblem, refusalProblem } from "../problems";

describe("microphone problems", () => {
  it.each([
    ["NotFoundError", "mic_not_found"],
    ["NotAllowedError", "mic_refused"],
    ["NotReadableError", "mic_busy"],
    ["SomethingNewError", "mic_failed"],
  ])("%s is %s, and typing gets around it", (name, code) => {
    expect(microphoneProblem(name)).toMatchObject({ code, textHelps: true });
  });
});

describe("refusals of the server", () => {
  it.each([
    [{ status: 0 }, "server_unreachable"],
    [{ status: 502 }, "server_unreachable"],
    [{ status: 401, code: "token_required" }, "token_required"],
    [{ status: 403 }, "token_required"],
    [{ status: 503, code: "not_ready" }, "not_ready"],
    [{ status: 503, code: "server_full" }, "server_full"],
    [{ status: 503 }, "server_full"],
    [{ status: 500 }, "server_error"],
  ])("%o is %s", (refusal, code) => {
    expect(refusalProblem(refusal).code).toBe(code);
  });

  it("says when to try again, where the server does", () => {
    expect(refusalProblem({ status: 503, code: "server_full", retryAfterSecs: 20 }).help).toContain("20 seconds");
    expect(refusalProblem({ status: 503, code: "not_ready", retryAfterSecs: 1 }).help).toMatch(/1 second\.$/);
  });

  it("passes on the server's own words for what this page does not know", () => {
    expect(refusalProblem({ status: 422, message: "The offer has no audio." }).help).toBe("The offer has no audio.");
  });
});

describe("endings", () => {
  it("prefers the server's sentence and has one of its own for every reason, known or not", () => {
    expect(endingText("idle", "Nobody spoke.")).toBe("Nobody spoke.");
    expect(endingText("time_limit")).toMatch(/time limit/);
    expect(endingText("new_reason")).toBe("The agent hung up.");
  });
});
