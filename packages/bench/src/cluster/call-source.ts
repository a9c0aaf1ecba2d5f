import { Popularity } from "../simulate/functions.ts";
import { Random } from "../zygotes/random.ts";
import type { RecordedCalls } from "./trace.ts";

/** One call that is to be made. */
export interface NextCall {
  /** The place of its lambda; the most popular is 0. */
  readonly lambda: number;
  /** The time since the call before it, where 1 is the mean. */
  readonly gap: number;
}

/** Calls without end: whoever asks twice for the same source gets the same calls. */
export interface CallSource {
  next(): NextCall;
}

/** Calls that come whenever they like; the n-th lambda is called n^-skew as often as the first. */
export const drawnCalls = (lambdas: number, skew: number, seed: number): CallSource => {
  const random = new Random(seed);
  const popularity = new Popularity(lambdas, skew, random);
  return { next: () => ({ lambda: popularity.draw(), gap: random.exponential(1) }) };
};

/** Calls as they were recorded, in the same order and at the same times, again and again. `seed` is how many are left out at first. */
export const recordedCalls = ({ calls }: RecordedCalls, seed: number): CallSource => {
  const first = calls[0]?.atMs ?? 0;
  const last = calls.at(-1)?.atMs ?? 0;
  // Between the last and the first there is as much as between others, on average.
  const meanMs = (last - first) / Math.max(calls.length - 1, 1);
  let at = seed % calls.length;
  return {
    next: () => {
      const call = calls[at] as RecordedCalls["calls"][number];
      const before = calls[at - 1];
      at = (at + 1) % calls.length;
      const gap = before === undefined || meanMs === 0 ? 1 : (call.atMs - before.atMs) / meanMs;
      return { lambda: call.lambda, gap };
    },
  };
};

/** Calls that come in bursts, at once, so many in each; the n-th lambda is called n^-skew as often as the first. */
export const burstsOfCalls = (lambdas: number, skew: number, seed: number, size: number): CallSource => {
  const drawn = drawnCalls(lambdas, skew, seed);
  let made = 0;
  return {
    next: () => {
      const gap = made % size === 0 ? size : 0;
      made += 1;
      return { lambda: drawn.next().lambda, gap };
    },
  };
};

/** Each lambda in turn, so many times before the next. */
export const callsInTurn = (lambdas: number, times: number): CallSource => {
  let made = -1;
  return {
    next: () => {
      made += 1;
      return { lambda: Math.floor(made / times) % lambdas, gap: 1 };
    },
  };
};
