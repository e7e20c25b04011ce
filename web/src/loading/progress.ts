// What a page can show while a model is loaded.

export type LoadPhase = "manifest" | "download" | "encoder" | "decoder" | "ready";

export interface LoadProgress {
  /** What loading waits for: bytes, or the engine that loads a graph. */
  readonly phase: LoadPhase;
  /** Verified or just arrived, from the store or the network. */
  readonly loadedBytes: number;
  readonly totalBytes: number;
  /** Part of loadedBytes that needed no request. */
  readonly storedBytes: number;
  /** Network speed over the last seconds; 0 while unknown. */
  readonly bytesPerSecond: number;
  /** Seconds until the last byte; undefined while unknown. */
  readonly secondsLeft: number | undefined;
  /** Something that a user may want to know, such as a store that refuses. */
  readonly note: string | undefined;
}

export type ProgressListener = (progress: LoadProgress) => void;

const EVERY_MS = 100;
const WINDOW_MS = 5000;

/** Counts bytes; reports to a listener at most ten times a second, and at once when the phase changes. */
export class ProgressMeter {
  private readonly listener: ProgressListener;
  private readonly now: () => number;
  private samples: { at: number; bytes: number }[] = [];
  private phase: LoadPhase = "manifest";
  private total = 0;
  private stored = 0;
  private network = 0;
  private reportedAt = Number.NEGATIVE_INFINITY;

  constructor(listener: ProgressListener | undefined, now: () => number = () => performance.now()) {
    this.listener = listener ?? ((): void => {});
    this.now = now;
  }

  addTotal(bytes: number): void {
    this.total += bytes;
  }

  addStored(bytes: number): void {
    this.stored += bytes;
    this.report(false);
  }

  /** Negative where wrong bytes are fetched again. */
  addNetwork(bytes: number): void {
    this.network += bytes;
    const at = this.now();
    this.samples.push({ at, bytes });
    if ((this.samples[0]?.at ?? at) < at - 2 * WINDOW_MS) {
      this.samples = this.samples.filter((sample) => sample.at >= at - WINDOW_MS);
    }
    this.report(false);
  }

  enter(phase: LoadPhase): void {
    this.phase = phase;
    this.report(true);
  }

  note(text: string): void {
    this.report(true, text);
  }

  private speed(): number {
    const at = this.now();
    const recent = this.samples.filter((sample) => sample.at >= at - WINDOW_MS);
    const since = recent[0]?.at ?? at;
    const bytes = recent.reduce((sum, sample) => sum + sample.bytes, 0);
    return at > since ? Math.max(0, (bytes * 1000) / (at - since)) : 0;
  }

  private report(always: boolean, note?: string): void {
    const at = this.now();
    const loadedBytes = this.stored + this.network;
    if (!always && at - this.reportedAt < EVERY_MS && loadedBytes < this.total) {
      return;
    }
    this.reportedAt = at;
    const bytesPerSecond = this.speed();
    const left = this.total - loadedBytes;
    this.listener({
      phase: this.phase,
      loadedBytes,
      totalBytes: this.total,
      storedBytes: this.stored,
      bytesPerSecond,
      secondsLeft: left <= 0 ? 0 : bytesPerSecond > 0 ? left / bytesPerSecond : undefined,
      note,
    });
  }
}
