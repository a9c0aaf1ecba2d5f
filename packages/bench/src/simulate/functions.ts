import { packageKey } from "@ol/common";

import { nameOf, type ZygoteData } from "../zygotes/data.ts";
import { Random } from "../zygotes/random.ts";
import { DEFAULT_WORKLOAD, generateWorkload } from "../zygotes/workload.ts";

/** A function that is called, and what it costs. */
export interface SimulatedFunction {
  readonly name: string;
  /** Of its package set. */
  readonly key: string;
  /** What importing its packages takes. */
  readonly importMs: number;
}

/** What functions are made from. */
export interface FunctionOptions {
  readonly seed: number;
  readonly functions: number;
  /** So many functions share a package set, on average. */
  readonly functionsPerSet: number;
}

/**
 * Functions in the order of their popularity. Half of their package sets are what real projects require, half a few packages
 * that people like, as in the comparison of zygote policies; what importing them takes was measured.
 */
export const makeFunctions = (
  data: ZygoteData,
  { seed, functions, functionsPerSet }: FunctionOptions,
): readonly SimulatedFunction[] => {
  const count = Math.max(Math.round(functions / functionsPerSet), 1);
  // Only its sets are wanted, not who starts when.
  const { sets, costs } = generateWorkload(data, {
    ...DEFAULT_WORKLOAD,
    seed,
    functions: count,
    durationMs: 0,
  });
  const random = new Random(seed);
  const made = sets.map(({ pins }) => ({
    key: packageKey(pins.map(nameOf)) ?? "",
    importMs: pins.reduce((sum, pin) => sum + (costs.get(pin)?.ms ?? 0), 0),
  }));
  return Array.from({ length: functions }, (_, at) => ({ name: `f${at}`, ...random.pick(made) }));
};

/** Draws functions: the n-th is called n^-skew as often as the first. */
export class Popularity {
  readonly #upTo: number[] = [];
  readonly #random: Random;

  constructor(functions: number, skew: number, random: Random) {
    this.#random = random;
    let sum = 0;
    for (let rank = 1; rank <= functions; rank += 1) this.#upTo.push((sum += rank ** -skew));
  }

  draw(): number {
    const wanted = this.#random.next() * (this.#upTo.at(-1) ?? 0);
    let [low, high] = [0, this.#upTo.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#upTo[middle] ?? 0) > wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
