import type { PinId } from "./policy.ts";
import { isNumber, isRecord, isStrings } from "./saved.ts";

/** More are forgotten, those of the least score first. */
const MOST_CANDIDATES = 256;
/** Of so many the score is kept over a restart. */
const MOST_SAVED = 16;

/** A zygote that might be worth making below a certain one. */
export interface Candidate {
  /** What it would have besides, those that others need before those. */
  readonly pins: readonly PinId[];
  /** What it would have spared, in ms; older gains count less. */
  score: number;
  /** When the score was right. */
  atMs: number;
  /** Starts that would have gained from it. */
  seen: number;
}

const keyOf = (pins: readonly PinId[]): string => [...pins].sort().join(" ");

/** The candidates below one zygote, or below the root. */
export class Candidates {
  readonly #tauMs: number;
  readonly #all = new Map<string, Candidate>();

  constructor(tauMs: number) {
    this.#tauMs = tauMs;
  }

  get size(): number {
    return this.#all.size;
  }

  /** A start would have gained so much from it. */
  touch(pins: readonly PinId[], gainMs: number, nowMs: number): Candidate {
    return this.#add({ pins, score: gainMs, atMs: nowMs, seen: 1 }, nowMs);
  }

  /** It was built once and is not there any more. */
  putBack(pins: readonly PinId[], score: number, seen: number, nowMs: number): void {
    this.#add({ pins, score, atMs: nowMs, seen }, nowMs);
  }

  /** Those that would have one of these besides are not worth any more what they were. */
  forget(pins: ReadonlySet<PinId>): void {
    for (const [key, candidate] of this.#all)
      if (candidate.pins.some((pin) => pins.has(pin))) this.#all.delete(key);
  }

  save(nowMs: number): unknown {
    return [...this.#all.values()]
      .map(({ pins, seen, ...candidate }) => ({ pins, seen, score: this.#scoreOf(candidate, nowMs) }))
      .sort((a, b) => b.score - a.score)
      .slice(0, MOST_SAVED);
  }

  /** From what `save` returned; undefined if it is something else. */
  static restore(saved: unknown, tauMs: number, nowMs: number): Candidates | undefined {
    if (!Array.isArray(saved) || saved.length > MOST_SAVED) return undefined;
    const table = new Candidates(tauMs);
    for (const entry of saved as unknown[]) {
      if (!isRecord(entry) || !isStrings(entry["pins"])) return undefined;
      if (!isNumber(entry["score"]) || !isNumber(entry["seen"])) return undefined;
      table.putBack(entry["pins"], entry["score"], entry["seen"], nowMs);
    }
    return table;
  }

  #add(more: Candidate, nowMs: number): Candidate {
    const key = keyOf(more.pins);
    const known = this.#all.get(key);
    if (known === undefined) {
      this.#all.set(key, more);
      if (this.#all.size > MOST_CANDIDATES) this.#forgetLeast(key, nowMs);
      return more;
    }
    known.score = this.#scoreOf(known, nowMs) + more.score;
    known.atMs = nowMs;
    known.seen += more.seen;
    return known;
  }

  #scoreOf({ score, atMs }: Pick<Candidate, "score" | "atMs">, nowMs: number): number {
    return score * Math.exp((atMs - nowMs) / this.#tauMs);
  }

  /** The newest stays, or none could ever become better than those that are there. */
  #forgetLeast(newest: string, nowMs: number): void {
    let least: string | undefined;
    let leastScore = Number.POSITIVE_INFINITY;
    for (const [key, candidate] of this.#all) {
      const score = this.#scoreOf(candidate, nowMs);
      if (key === newest || score >= leastScore) continue;
      least = key;
      leastScore = score;
    }
    if (least !== undefined) this.#all.delete(least);
  }
}
