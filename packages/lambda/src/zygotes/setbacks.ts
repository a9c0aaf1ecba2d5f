import type { PinId } from "./policy.ts";
import { isNumber, isRecord } from "./saved.ts";

/** The first ban; each further one is twice as long. */
const BAN_MS = 600_000;
/** As long as the longest: some ten days. Beyond that doubling means nothing. */
const MOST_DOUBLINGS = 10;
/** More are forgotten, the oldest first. */
const MOST_KEPT = 1_000;

interface Setback {
  readonly count: number;
  /** Until then it is not built. */
  readonly untilMs: number;
}

/** Zygotes that failed, or died: each is built once more, then not for a while. They are known by all their pins. */
export class Setbacks {
  readonly #all = new Map<string, Setback>();

  /** It failed, or ended after so many ms. One that lived for long begins anew. */
  note(mask: Iterable<PinId>, livedMs: number, nowMs: number): void {
    const key = keyOf(mask);
    const before = livedMs >= BAN_MS ? 0 : (this.#all.get(key)?.count ?? 0);
    const banMs = before === 0 ? 0 : BAN_MS * 2 ** Math.min(before - 1, MOST_DOUBLINGS);
    this.#all.delete(key);
    this.#all.set(key, { count: before + 1, untilMs: nowMs + banMs });
    const [oldest] = this.#all.keys();
    if (this.#all.size > MOST_KEPT && oldest !== undefined) this.#all.delete(oldest);
  }

  allows(mask: Iterable<PinId>, nowMs: number): boolean {
    return nowMs >= (this.#all.get(keyOf(mask))?.untilMs ?? nowMs);
  }

  save(nowMs: number): unknown {
    return [...this.#all].map(([mask, { count, untilMs }]) => ({
      mask,
      count,
      forMs: Math.max(untilMs - nowMs, 0),
    }));
  }

  /** From what `save` returned; undefined if it is something else. */
  static restore(saved: unknown, nowMs: number): Setbacks | undefined {
    if (!Array.isArray(saved) || saved.length > MOST_KEPT) return undefined;
    const setbacks = new Setbacks();
    for (const entry of saved as unknown[]) {
      if (!isRecord(entry) || typeof entry["mask"] !== "string") return undefined;
      if (!isNumber(entry["count"]) || !isNumber(entry["forMs"])) return undefined;
      setbacks.#all.set(entry["mask"], { count: entry["count"], untilMs: nowMs + entry["forMs"] });
    }
    return setbacks;
  }
}

const keyOf = (mask: Iterable<PinId>): string => [...mask].sort().join(" ");
