import { expect, it } from "vitest";
import { SmallWebRTCTransport } from "@pipecat-ai/small-webrtc-transport";
import Daily from "@daily-co/daily-js";
import { Microphone } from "../microphone";

it("has the inner method that AgentTransport calls to reconnect early", () => {
  expect(SmallWebRTCTransport.prototype).toHaveProperty("attemptReconnection");
});

it("is content with our microphone as its media manager, and so never asks for Daily's library", () => {
  expect(() => new SmallWebRTCTransport({ mediaManager: new Microphone() as never })).not.toThrow();
  expect(() => new SmallWebRTCTransport()).toThrow(/Daily is not part of this page/);
  expect(() => Daily.createCallObject()).toThrow();
});
