import { isOlError } from "@ol/common";

interface Failure {
  readonly error: unknown;
  readonly untilMs: number;
  readonly times: number;
}

/** A mistake in a lambda's requirements is not tried again before this time; what is new in the index waits that long. */
const MISTAKE_MS = 60_000;
/** What may be over in a moment is tried again after this time, then after twice as long, and so on. */
const FIRST_MS = 1_000;
const LONGEST_MS = 60_000;
/** A failure that is not met again for so long is forgotten. */
const FORGET_MS = 300_000;

/** What failed a short time ago and is not to be tried again yet. */
export class Failures {
  readonly #failures = new Map<string, Failure>();

  /** Why `key` cannot be had; undefined if it may be tried. */
  of(key: string): { readonly error: unknown } | undefined {
    const failure = this.#failures.get(key);
    return failure !== undefined && performance.now() < failure.untilMs ? failure : undefined;
  }

  note(key: string, error: unknown): void {
    const nowMs = performance.now();
    for (const [other, { untilMs }] of this.#failures)
      if (untilMs + FORGET_MS < nowMs) this.#failures.delete(other);
    const times = this.#failures.get(key)?.times ?? 0;
    const mistake = isOlError(error) && error.causedBy === "user";
    const forMs = mistake ? MISTAKE_MS : Math.min(FIRST_MS * 2 ** times, LONGEST_MS);
    this.#failures.set(key, { error, untilMs: nowMs + forMs, times: times + 1 });
  }

  forget(key: string): void {
    this.#failures.delete(key);
  }
}
