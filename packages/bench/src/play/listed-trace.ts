import { benchError } from "../errors.ts";
import type { Random } from "../zygotes/random.ts";
import { inOrder, type Selection, type Trace, type TraceCall } from "./trace.ts";

/** A call more than was recorded comes within this time after the one that it is a copy of. */
const COPY_MS = 1_000;
/** What fits into memory with all that is known of each. */
export const MOST_CALLS = 5_000_000;

/** Fails with OL_BENCH_USAGE if there are more calls than can be played. */
export const checkCount = (count: number): void => {
  if (count > MOST_CALLS)
    throw benchError(
      "OL_BENCH_USAGE",
      `more than ${MOST_CALLS} calls would be played; take fewer with --functions, --from and --minutes, or --scale`,
    );
};

/** How many there are for one that counts `times`, where that is no whole number. */
export const timesOf = (times: number, random: Random): number => {
  const whole = Math.floor(times);
  return whole + (random.next() < times - whole ? 1 : 0);
};

/** A trace of which every call is known. */
export class ListedTrace implements Trace {
  readonly functions: readonly string[];
  readonly timed: boolean;
  readonly #calls: readonly TraceCall[];

  /** `calls` may be in any order, and their times have any beginning. */
  constructor(functions: readonly string[], timed: boolean, calls: TraceCall[]) {
    this.functions = functions;
    this.timed = timed;
    let firstMs = Number.POSITIVE_INFINITY;
    for (const { atMs } of calls) firstMs = Math.min(firstMs, atMs);
    this.#calls = inOrder(calls.map((call) => ({ ...call, atMs: timed ? call.atMs - firstMs : 0 })));
  }

  calls({ takes, fromMs, toMs, scale }: Selection, random: Random): readonly TraceCall[] {
    const selected: TraceCall[] = [];
    for (const call of this.#calls) {
      if (!takes(call.function) || (this.timed && (call.atMs < fromMs || call.atMs >= toMs))) continue;
      const times = timesOf(scale, random);
      for (let copy = 0; copy < times; copy += 1)
        selected.push(
          copy === 0 || !this.timed ? call : { ...call, atMs: call.atMs + random.next() * COPY_MS },
        );
      checkCount(selected.length);
    }
    return inOrder(selected);
  }
}

/** Gives each name its place. */
export class Places {
  readonly names: string[] = [];
  readonly #places = new Map<string, number>();

  /** `key` says which are the same, `name` what it is called. */
  of(key: string, name: string = key): number {
    const known = this.#places.get(key);
    if (known !== undefined) return known;
    this.#places.set(key, this.names.length);
    return this.names.push(name) - 1;
  }
}
