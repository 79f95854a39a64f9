/** Begin and end in milliseconds from the caller's last word. */
export type Interval = readonly [begin: number, end: number];

/** The server's measurement of one answered turn, in milliseconds. */
export interface Latency {
  readonly turn: number;
  readonly voice_to_voice_ms: number;
  /** What each stage added; they sum to the whole. */
  readonly stages: Readonly<Record<string, number | null | undefined>>;
  /** When each stage worked; they overlap. */
  readonly timeline: Readonly<Record<string, Interval | null | undefined>>;
}

const STAGES: readonly (readonly [key: string, label: string])[] = [
  ["vad_ms", "noticing that you stopped"],
  ["stt_ms", "understanding your words"],
  ["turn_ms", "deciding that it was its turn"],
  ["llm_ms", "thinking of an answer"],
  ["tts_ms", "finding its voice"],
];

/** 640 → "640 ms"; 2340 → "2.3 s": beyond a second, milliseconds are noise to a reader. */
export const formatMs = (ms: number): string =>
  ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;

/** One stage's bar on the time axis of a turn. */
export interface Bar {
  /** Its place in the order of the stages, from 0, whichever of them were measured. */
  readonly lane: number;
  readonly label: string;
  readonly beginMs: number;
  readonly endMs: number;
}

/**
 * The stages that were measured, in the order in which each needs the one before it. Where the server tells only what
 * each added, they are laid end to end.
 */
export function bars(latency: Latency): Bar[] {
  let reached = 0;
  return STAGES.flatMap(([key, label], lane) => {
    const interval = latency.timeline[key];
    if (interval) return [{ lane, label, beginMs: interval[0], endMs: interval[1] }];
    const added = latency.stages[key];
    if (typeof added !== "number") return [];
    const beginMs = reached;
    reached += added;
    return [{ lane, label, beginMs, endMs: reached }];
  });
}

/** "400 to 650 ms", "0.9 to 1.4 s" */
export function formatInterval({ beginMs, endMs }: Bar): string {
  if (endMs < 1000) return `${Math.round(beginMs)} to ${Math.round(endMs)} ms`;
  return `${(beginMs / 1000).toFixed(1)} to ${(endMs / 1000).toFixed(1)} s`;
}

/** The turn in words, for those who do not see the bars. */
export function describe(latency: Latency): string {
  const stages = bars(latency).map((bar) => `${bar.label} ${formatInterval(bar)}`);
  const answered = `Turn ${latency.turn}, answered in ${formatMs(latency.voice_to_voice_ms)}`;
  return stages.length ? `${answered}: ${stages.join(", ")}.` : `${answered}.`;
}

/** A time axis from the earliest work (at most 0) to the latest answer of some turns. */
export interface Axis {
  readonly beginMs: number;
  readonly endMs: number;
  readonly ticksMs: readonly number[];
}

const STEPS_MS = [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];
const MOST_TICKS = 4;

export function axisOf(turns: readonly Latency[]): Axis {
  const all = turns.flatMap(bars);
  const beginMs = Math.min(0, ...all.map((bar) => bar.beginMs));
  const endMs = Math.max(100, ...turns.map((turn) => turn.voice_to_voice_ms), ...all.map((bar) => bar.endMs));
  const stepMs = STEPS_MS.find((step) => (endMs - beginMs) / step <= MOST_TICKS) ?? STEPS_MS.at(-1)!;
  const ticksMs = [];
  for (let at = 0; at <= endMs; at += stepMs) ticksMs.push(at);
  return { beginMs, endMs, ticksMs };
}

/** Where a time lies on the axis, 0 to 1. */
export const placeOn = ({ beginMs, endMs }: Axis, ms: number): number =>
  Math.min(1, Math.max(0, (ms - beginMs) / (endMs - beginMs)));

/** The middle one of some turns' answer times. */
export function medianMs(turns: readonly Latency[]): number {
  const times = turns.map((turn) => turn.voice_to_voice_ms).sort((a, b) => a - b);
  const middle = times.length >> 1;
  return times.length % 2 ? times[middle]! : (times[middle - 1]! + times[middle]!) / 2;
}

export function isLatency(data: Record<string, unknown>): boolean {
  return data.type === "latency" && typeof data.voice_to_voice_ms === "number";
}

export const asLatency = (data: Record<string, unknown>): Latency => ({
  turn: Number(data.turn ?? 0),
  voice_to_voice_ms: data.voice_to_voice_ms as number,
  stages: (data.stages ?? {}) as Latency["stages"],
  timeline: (data.timeline ?? {}) as Latency["timeline"],
});
