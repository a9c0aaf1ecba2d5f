import { Popularity } from "../simulate/functions.ts";
import type { Random } from "../zygotes/random.ts";
import { checkCount, timesOf } from "./listed-trace.ts";
import { inOrder, type Selection, type Trace, type TraceCall } from "./trace.ts";

/** What a trace is made of that nobody recorded. */
export interface SyntheticOptions {
  readonly functions: number;
  /** The n-th function is called n^-skew as often as the first. */
  readonly skew: number;
  /** Calls a second, at random moments. */
  readonly rate: number;
  readonly lengthMs: number;
}

/** Calls that come whenever they like: the gaps between them are those of a Poisson process. Everything is drawn. */
export class SyntheticTrace implements Trace {
  readonly functions: readonly string[];
  readonly timed = true;
  readonly #options: SyntheticOptions;

  constructor(options: SyntheticOptions) {
    this.functions = Array.from({ length: options.functions }, (_, at) => `synthetic-${at}`);
    this.#options = options;
  }

  calls({ takes, fromMs, toMs, scale }: Selection, random: Random): readonly TraceCall[] {
    const { functions, skew, rate, lengthMs } = this.#options;
    const popularity = new Popularity(functions, skew, random);
    const calls: TraceCall[] = [];
    const endMs = Math.min(lengthMs, toMs);
    for (
      let atMs = random.exponential(1_000 / rate);
      atMs < endMs;
      atMs += random.exponential(1_000 / rate)
    ) {
      const place = popularity.draw();
      const times = timesOf(scale, random);
      if (atMs < fromMs || !takes(place)) continue;
      for (let copy = 0; copy < times; copy += 1) calls.push({ function: place, atMs, runMs: undefined });
      checkCount(calls.length);
    }
    return inOrder(calls);
  }
}
