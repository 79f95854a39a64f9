import "./styles.css";
import { getInfo, RefusedError, sendToken } from "./api";
import { Call } from "./call";
import { CaptionStore } from "./captions";
import { type CallEvent, IDLE, inCall, next } from "./machine";
import { rememberedMic } from "./microphone";
import { microphoneProblem, problem } from "./problems";
import { Receiver } from "./receiver";
import { CaptionsView } from "./view/captions-view";
import { byId } from "./view/dom";
import { dismissable, showInfo } from "./view/info-view";
import { MicView } from "./view/mic-view";
import { ProblemView } from "./view/problem-view";
import { Levels, StageView } from "./view/stage-view";
import { VoiceView } from "./view/voice-view";
import { WaterfallView } from "./view/waterfall-view";

let state = IDLE;
let call: Call | undefined;
let receiver: Receiver | undefined;
/** Whether the token was asked for because of a call, which then follows at once. */
let callAfterToken: { withMic: boolean } | undefined;

const stage = new StageView();
const levels = new Levels(stage);
const captions = new CaptionsView();
const times = new WaterfallView();
const voice = new VoiceView();
const problems = new ProblemView((token) => void enterToken(token));
const mic = new MicView(
  (deviceId) => void chooseMic(deviceId),
  (muted) => call?.mute(muted),
);

function startCall(withMic: boolean): void {
  callAfterToken = { withMic };
  const store = new CaptionStore((caption) => captions.show(caption));
  const own = new Receiver(
    store,
    (floor) => stage.showFloor(floor),
    (latency) => times.add(latency),
  );
  captions.clear();
  times.clear();
  levels.start();
  receiver = own;
  call = new Call(
    {
      event: (event) => happened(event, own),
      message: (type, data) => own.receive(type, data),
      microphone: (track) => levels.listenToMic(track),
      microphoneLost: () => void replaceMic(),
      voice: (track) => {
        voice.listenTo(track);
        levels.listenToVoice(track);
      },
    },
    withMic,
  );
  void call.start();
}

function happened(event: CallEvent, own: Receiver): void {
  const before = state;
  state = next(state, event);
  if (state === before) return;
  stage.showState(state, before.phase === "reconnecting");
  problems.show(state.problem);
  if (state.phase === "live" && before.phase === "connecting") began();
  if (!inCall(state)) over(own);
}

function began(): void {
  callAfterToken = undefined;
  // An agent that was still starting when the page was opened knows its mind by now.
  void askInfo();
  void mic.refresh();
  mic.mute(false);
  mic.showAvailable(!!call?.hasMic);
  if (!call?.hasMic) byId("text").focus();
}

function over(own: Receiver): void {
  own.finish();
  levels.stop();
  voice.stop();
  // The control that had the focus may be gone from view.
  if (state.problem?.code !== "token_required" && state.phase === "ended") byId("call").focus();
}

async function chooseMic(deviceId: string): Promise<void> {
  if (!call || !inCall(state)) return;
  try {
    await call.chooseMic(deviceId);
    problems.show(undefined);
    mic.showAvailable(true);
    void mic.refresh();
  } catch (error) {
    problems.show(microphoneProblem((error as DOMException).name));
  }
}

/** The browser's next best microphone takes over, now or when one is plugged in. */
async function replaceMic(): Promise<void> {
  if (!call || !inCall(state) || !call.hasLostMic) return;
  problems.show(problem("mic_lost"));
  try {
    await call.chooseMic(rememberedMic());
  } catch {
    return;
  }
  problems.show(undefined);
  receiver?.notice("The microphone went away. Another one has taken its place.");
  void mic.refresh();
}

async function enterToken(token: string): Promise<void> {
  try {
    await sendToken(token);
  } catch (error) {
    const { problem: found } = error as RefusedError;
    return problems.show(
      found.code === "token_required" ? problem("token_required", "That token is not right. Try again.") : found,
    );
  }
  problems.show(undefined);
  await askInfo();
  if (callAfterToken) startCall(callAfterToken.withMic);
  else byId("call").focus();
}

/** The page works without it, save for what it says of the agent. */
async function askInfo(): Promise<void> {
  try {
    showInfo(await getInfo());
  } catch (error) {
    if (error instanceof RefusedError && state.phase === "idle") problems.show(error.problem);
  }
}

byId("call").addEventListener("click", () => (inCall(state) ? call?.hangUp() : startCall(true)));
byId("text-call").addEventListener("click", () => startCall(false));
byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const box = byId<HTMLInputElement>("text");
  const text = box.value.trim();
  if (!text || !call?.sendText(text)) return;
  receiver?.typed(text);
  box.value = "";
});
navigator.mediaDevices?.addEventListener("devicechange", () => void replaceMic());
addEventListener("pagehide", () => call?.hangUp());

dismissable();
stage.showState(state, false);
stage.showFloor("listening");
void mic.refresh();
void askInfo();
