import type { Random } from "../zygotes/random.ts";

/** One call of a trace. */
export interface TraceCall {
  /** The place of its function. */
  readonly function: number;
  /** From the beginning of the trace; 0 for all where the trace has no times. */
  readonly atMs: number;
  /** How long it ran; undefined if the trace does not say. */
  readonly runMs: number | undefined;
}

/** What of a trace is wanted. */
export interface Selection {
  /** Whether the function in this place takes part. */
  readonly takes: (at: number) => boolean;
  /** Of the trace's own time, the end not included; of no meaning where it has none. */
  readonly fromMs: number;
  readonly toMs: number;
  /** So many calls for each that was recorded. */
  readonly scale: number;
}

/** A trace that was read. */
export interface Trace {
  /** By their place; two may have the same name. */
  readonly functions: readonly string[];
  /** Whether it says when calls came. Otherwise only their order is known. */
  readonly timed: boolean;
  /** The selected calls, in the order of time; nothing is drawn but from `random`. Fails with OL_BENCH_USAGE for too many. */
  calls(selection: Selection, random: Random): readonly TraceCall[];
}

/** Who comes later in the same instant stays behind. */
export const inOrder = (calls: TraceCall[]): readonly TraceCall[] =>
  calls.sort((one, other) => one.atMs - other.atMs);
