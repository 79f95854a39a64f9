/** Loudness of a track, 0 to 1, read as often as the screen is drawn. */
export class LevelMeter {
  private source: MediaStreamAudioSourceNode | undefined;
  private readonly analyser: AnalyserNode;
  private readonly samples: Float32Array<ArrayBuffer>;

  constructor(private readonly context: AudioContext) {
    this.analyser = context.createAnalyser();
    this.analyser.fftSize = 1024;
    this.samples = new Float32Array(this.analyser.fftSize);
  }

  listenTo(track: MediaStreamTrack | undefined): void {
    this.source?.disconnect();
    this.source = track && this.context.createMediaStreamSource(new MediaStream([track]));
    this.source?.connect(this.analyser);
  }

  read(): number {
    if (!this.source) return 0;
    this.analyser.getFloatTimeDomainData(this.samples);
    return levelOf(this.samples);
  }
}

const FLOOR_DB = -55;
const FULL_DB = -12;

/** Decibels, as ears hear: a linear meter would show only shouting. */
export function levelOf(samples: ArrayLike<number>): number {
  let energy = 0;
  for (let i = 0; i < samples.length; i++) energy += samples[i]! ** 2;
  const db = 10 * Math.log10(energy / Math.max(1, samples.length) + 1e-12);
  return Math.min(1, Math.max(0, (db - FLOOR_DB) / (FULL_DB - FLOOR_DB)));
}

/** Rises at once and falls slowly, so that a meter does not flicker between syllables. */
export const smooth = (shown: number, level: number): number =>
  level > shown ? shown + (level - shown) * 0.6 : shown + (level - shown) * 0.15;
