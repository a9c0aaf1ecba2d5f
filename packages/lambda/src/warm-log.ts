import { formatWarm, type WarmChange } from "@ol/common";

/** Who knows an older state than that many changes ago is told all of it. */
const MOST_CHANGES = 1_000;
/** What replies carry of it: who has had a reply or two less than a second ago misses nothing. In changes and in bytes. */
const MOST_IN_HEADER = 8;
const MOST_HEADER_BYTES = 300;

/**
 * The last changes of what a balancer wants to know of this worker's functions. Every change has a number, the epoch; numbers
 * begin with the time of the start in ms, so that after a restart nobody takes a new state for an old one.
 */
export class WarmLog {
  readonly #changes: WarmChange[] = [];
  #epoch: number;
  #text: string | undefined;

  constructor(epoch: number = Date.now()) {
    this.#epoch = epoch;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** The X-OL-Warm of this moment, written once for each change. */
  get text(): string {
    return (this.#text ??= this.#header());
  }

  note(kind: WarmChange["kind"], name: string): void {
    this.#changes.push({ kind, name });
    // In large steps: cutting off one each time would move all others.
    if (this.#changes.length > 2 * MOST_CHANGES) this.#changes.splice(0, MOST_CHANGES);
    this.#epoch += 1;
    this.#text = undefined;
  }

  /** What has changed since then, oldest first; undefined if that is not known any more, or never was. */
  since(epoch: number): readonly WarmChange[] | undefined {
    const count = this.#epoch - epoch;
    if (count < 0 || count > this.#changes.length) return undefined;
    return this.#changes.slice(this.#changes.length - count);
  }

  #header(): string {
    let from = this.#changes.length;
    let bytes = 0;
    while (from > 0 && this.#changes.length - from < MOST_IN_HEADER) {
      bytes += (this.#changes[from - 1]?.name.length ?? 0) + 2;
      if (bytes > MOST_HEADER_BYTES) break;
      from -= 1;
    }
    return formatWarm({ epoch: this.#epoch, changes: this.#changes.slice(from) });
  }
}
