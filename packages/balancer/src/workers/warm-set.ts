import type { WarmChange, WarmReport } from "@ol/common";

/** Which functions have a sandbox on a worker, kept up to date by the changes that it reports with its replies. */
export class WarmSet {
  #names = new Set<string>();
  /** Undefined before the first full state. */
  #epoch: number | undefined;
  #stale = true;

  /** The epoch that is known, for asking what came after it. */
  get epoch(): number | undefined {
    return this.#epoch;
  }

  /** Whether something was missed, or changed of which a report names no details: the worker is to be asked. */
  get stale(): boolean {
    return this.#stale;
  }

  get size(): number {
    return this.#names.size;
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  /** The worker's full state. */
  replace(epoch: number, names: Iterable<string>): void {
    this.#names = new Set(names);
    this.#epoch = epoch;
    this.#stale = false;
  }

  /** The changes since the epoch that is known, as the worker says them when it is asked. */
  advance(epoch: number, changes: readonly WarmChange[]): void {
    for (const change of changes) this.#apply(change);
    this.#epoch = epoch;
    this.#stale = false;
  }

  /** A reply's report. Replies may come in another order than they were written in: older ones are passed over. */
  report({ epoch, changes }: WarmReport): void {
    if (this.#epoch === undefined || epoch <= this.#epoch) return;
    const missing = epoch - this.#epoch;
    if (missing > changes.length) {
      this.#stale = true;
      return;
    }
    for (const change of changes.slice(changes.length - missing)) {
      this.#apply(change);
      if (change.kind === "~") this.#stale = true;
    }
    // What a `~` stands for is still to be asked for, and is what came after the epoch that is known.
    if (!this.#stale) this.#epoch = epoch;
  }

  #apply({ kind, name }: WarmChange): void {
    if (kind === "+") this.#names.add(name);
    else if (kind === "-") this.#names.delete(name);
  }
}
