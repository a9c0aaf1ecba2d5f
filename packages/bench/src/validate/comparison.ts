import type { Figures } from "../cluster/outcome.ts";

/** One figure, in reality and in virtual time. */
export interface ComparedFigure {
  readonly figure: string;
  readonly real: number;
  readonly simulated: number;
  /** By how much of the real figure they differ; 0 if that is less than what can be told apart. */
  readonly difference: number;
}

/** What the simulator is judged by, with the least difference that says anything: two rare events more or less, a timer's tick. */
const JUDGED = [
  ["perSec", "calls a second", 0],
  ["coldShare", "cold share", 0.002],
  ["p99QueueMs", "p99 of the queue, ms", 2],
] as const;

/** The figures that are compared, in the order of JUDGED. */
export const compareFigures = (real: Figures, simulated: Figures): readonly ComparedFigure[] =>
  JUDGED.map(([field, figure, least]) => {
    const [one, other] = [real[field], simulated[field]];
    const apart = Math.abs(other - one);
    const difference = apart <= least ? 0 : one === 0 ? Number.POSITIVE_INFINITY : apart / one;
    return { figure, real: one, simulated: other, difference };
  });
