/** The server's measurement of one answered turn, in milliseconds. */
export interface Latency {
  readonly turn: number;
  readonly voice_to_voice_ms: number;
  readonly stages: Readonly<Record<string, number | null | undefined>>;
}

const STAGES: readonly (readonly [key: string, label: string])[] = [
  ["vad_ms", "noticing that you stopped"],
  ["turn_ms", "deciding that it was its turn"],
  ["stt_ms", "understanding your words"],
  ["llm_ms", "thinking of an answer"],
  ["tts_ms", "finding its voice"],
];

/** 640 → "640 ms"; 2340 → "2.3 s": beyond a second, milliseconds are noise to a reader. */
export const formatMs = (ms: number): string =>
  ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;

export interface StageLine {
  readonly label: string;
  readonly ms: number;
  /** Share of the longest stage, 0 to 1, for the bar beside it. */
  readonly share: number;
}

/** The stages that were measured, in the order in which they happen. They may overlap, so they need not add up. */
export function stageLines(latency: Latency): StageLine[] {
  const measured = STAGES.flatMap(([key, label]) => {
    const ms = latency.stages[key];
    return typeof ms === "number" ? [{ label, ms }] : [];
  });
  const longest = Math.max(1, ...measured.map(({ ms }) => ms));
  return measured.map((line) => ({ ...line, share: line.ms / longest }));
}

export function isLatency(data: Record<string, unknown>): boolean {
  return data.type === "latency" && typeof data.voice_to_voice_ms === "number";
}

export const asLatency = (data: Record<string, unknown>): Latency => ({
  turn: Number(data.turn ?? 0),
  voice_to_voice_ms: data.voice_to_voice_ms as number,
  stages: (data.stages ?? {}) as Latency["stages"],
});
