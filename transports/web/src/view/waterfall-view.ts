import { type Axis, axisOf, type Bar, bars, describe, formatInterval, formatMs, type Latency, medianMs, placeOn } from "../latency";
import { recall, remember } from "../memory";
import { byId, make, setText } from "./dom";

const SHOWN_TURNS = 5;
const KEPT_TURNS = 200;
const OPEN_KEY = "voice-agent.times-open";
const ROOMY = "(min-width: 860px) and (min-height: 700px)";

/** The last turns' stages on one time axis. */
export class WaterfallView {
  private readonly panel = byId<HTMLDetailsElement>("times");
  private turns: Latency[] = [];

  constructor() {
    const choice = recall(OPEN_KEY);
    this.panel.open = choice ? choice === "yes" : matchMedia(ROOMY).matches;
    // Only a press on the summary is a choice; opening it here is not.
    byId("times-summary").addEventListener("click", () => remember(OPEN_KEY, this.panel.open ? "no" : "yes"));
  }

  clear(): void {
    this.turns = [];
    this.panel.hidden = true;
  }

  add(latency: Latency): void {
    this.turns = [...this.turns, latency].slice(-KEPT_TURNS);
    const shown = this.turns.slice(-SHOWN_TURNS);
    const axis = axisOf(shown);
    const median = this.turns.length > 1 ? `, median ${formatMs(medianMs(this.turns))}` : "";
    setText(byId("times-figures"), `last ${formatMs(latency.voice_to_voice_ms)}${median}`);
    byId("times-turns").replaceChildren(...shown.map((turn) => turnRow(turn, axis)));
    byId("times-axis").replaceChildren(...axis.ticksMs.map((ms) => tick(ms, axis)));
    this.panel.hidden = false;
  }
}

/** One turn's bars by themselves, each with its name and times. */
export function turnDetails(latency: Latency): HTMLElement {
  const axis = axisOf([latency]);
  const table = make("dl");
  for (const bar of bars(latency)) {
    const lane = make("span", "lane");
    lane.append(barElement(bar, axis));
    const value = make("dd");
    value.append(lane, make("span", "", formatInterval(bar)));
    table.append(make("dt", "", bar.label), value);
  }
  return table;
}

function turnRow(turn: Latency, axis: Axis): HTMLElement {
  const row = make("li");
  const chart = make("span", "chart");
  chart.setAttribute("aria-hidden", "true");
  for (const bar of bars(turn)) chart.append(barElement(bar, axis));
  const heard = make("b");
  place(heard, placeOn(axis, turn.voice_to_voice_ms));
  chart.append(heard);
  const number = make("span", "number", String(turn.turn));
  const whole = make("span", "whole", formatMs(turn.voice_to_voice_ms));
  for (const seen of [number, whole]) seen.setAttribute("aria-hidden", "true");
  row.append(number, chart, whole, make("span", "unseen", describe(turn)));
  return row;
}

function barElement(bar: Bar, axis: Axis): HTMLElement {
  const element = make("i");
  element.dataset.lane = String(bar.lane);
  element.title = `${bar.label}: ${formatInterval(bar)}`;
  const begin = placeOn(axis, bar.beginMs);
  place(element, begin);
  element.style.setProperty("--length", (placeOn(axis, bar.endMs) - begin).toFixed(4));
  return element;
}

function tick(ms: number, axis: Axis): HTMLElement {
  const element = make("span", "", `${ms / 1000} s`);
  place(element, placeOn(axis, ms));
  return element;
}

const place = (element: HTMLElement, at: number): void => element.style.setProperty("--at", at.toFixed(4));
