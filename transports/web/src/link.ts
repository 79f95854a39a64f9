/** What the page makes of the link, sampled at even intervals: lost at once, back at once, given up after a while. */
export type LinkNews = "lost" | "back" | "given-up" | undefined;

/** Longer than this, no caller waits. The transport itself gives up earlier when the server cannot be reached. */
export const GIVE_UP_MS = 30_000;

/** The transport pings each second and the server acknowledges: silence for this long is no mere pause. */
export const SILENT_MS = 3_000;

export class LinkWatch {
  private downSinceMs: number | undefined;

  sample(isUp: boolean, nowMs: number): LinkNews {
    if (isUp) {
      const was = this.downSinceMs;
      this.downSinceMs = undefined;
      return was === undefined ? undefined : "back";
    }
    if (this.downSinceMs === undefined) {
      this.downSinceMs = nowMs;
      return "lost";
    }
    return nowMs - this.downSinceMs >= GIVE_UP_MS ? "given-up" : undefined;
  }
}

/**
 * Tells from the count of received bytes whether anything still arrives. ICE needs eight seconds to notice, which is
 * longer than a server may wait for a caller who has gone from one network to another.
 */
export class Heartbeat {
  private bytes: number | undefined;
  private changedAtMs = 0;

  sample(bytes: number | undefined, nowMs: number): boolean {
    if (bytes === undefined) return true;
    if (bytes !== this.bytes) {
      this.bytes = bytes;
      this.changedAtMs = nowMs;
    }
    return nowMs - this.changedAtMs < SILENT_MS;
  }
}
