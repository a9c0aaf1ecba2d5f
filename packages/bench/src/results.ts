import type { Summary } from "./statistics.ts";

/** One line of the table: what was measured, in which unit, and its ratio to a baseline of the same run. */
export interface Row {
  readonly name: string;
  readonly unit: "ms" | "1/s" | "us" | "MiB";
  readonly values: Summary;
  /** Ratios of pairs measured one right after the other, by the baseline's name. */
  readonly ratios: Readonly<Record<string, Summary>>;
}

/** A goal that the project has set itself, and whether this run reached it. */
export interface Aim {
  readonly name: string;
  readonly ratio: number;
  readonly limit: number;
  readonly reached: boolean;
}

/** Everything of one run; printed as JSON. */
export interface Results {
  readonly machine: Readonly<Record<string, string | number>>;
  readonly rows: readonly Row[];
  readonly aims: readonly Aim[];
  /** What limits the meaning of the figures, a sentence each. */
  readonly notes: readonly string[];
}

/** A ratio that should not be above `limit`. */
export const atMost = (name: string, ratio: number, limit: number): Aim => ({
  name: `${name} <= ${limit}`,
  ratio,
  limit,
  reached: ratio <= limit,
});

/** A ratio that should not be below `limit`. */
export const atLeast = (name: string, ratio: number, limit: number): Aim => ({
  name: `${name} >= ${limit}`,
  ratio,
  limit,
  reached: ratio >= limit,
});
