import type { AgentInfo } from "../api";
import { recall, remember } from "../memory";
import { byId, setText } from "./dom";

const DISMISSED_KEY = "voice-agent.small-brain-dismissed";

let shownLabel = "";
let dismissedLabel = recall(DISMISSED_KEY);

/** Says plainly which mind answers, and in whose voice. */
export function showInfo(info: AgentInfo): void {
  document.title = info.name;
  setText(byId("name"), info.name);
  shownLabel = info.brain.label ?? "";
  const mind = info.brain.label ? `Answers come from ${info.brain.label}. ` : "";
  setText(byId("brain"), `${mind}The voice is ${info.voice}.`);
  setText(byId("version"), `version ${info.version}`);
  byId("small-brain").hidden = !info.brain.small || dismissedLabel === info.brain.label;
}

export function dismissable(): void {
  byId("small-brain-dismiss").addEventListener("click", () => {
    dismissedLabel = shownLabel;
    remember(DISMISSED_KEY, shownLabel);
    byId("small-brain").hidden = true;
    byId("call").focus();
  });
}
