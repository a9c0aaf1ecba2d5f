import type { Summary } from "./statistics.ts";

export type Unit = "ms" | "1/s" | "us" | "MiB" | "1/GiB" | "calls";

/** One line of the table: what was measured, in which unit, and its ratio to a baseline of the same run. */
export interface Row {
  readonly name: string;
  readonly unit: Unit;
  readonly values: Summary;
  /** Ratios of pairs measured one right after the other, by the baseline's name. */
  readonly ratios: Readonly<Record<string, Summary>>;
  /** What the name says, for programs: engine, step, how many at once. */
  readonly labels?: Readonly<Record<string, string | number>>;
}

/** A goal that the project has set itself, and whether this run reached it. */
export interface Aim {
  readonly name: string;
  readonly ratio: number;
  readonly limit: number;
  readonly reached: boolean;
}

/** Something that was to be measured beside the others, and is not here. */
export interface Skipped {
  readonly name: string;
  /** And what to do about it. */
  readonly reason: string;
}

/** What was found. */
export interface Results {
  /** What figures depend on: kernel, cores, memory, versions. */
  readonly machine: Readonly<Record<string, string | number>>;
  readonly rows: readonly Row[];
  readonly aims: readonly Aim[];
  /** Nothing is left out silently. */
  readonly skipped?: readonly Skipped[];
  /** What limits the meaning of the figures, a sentence each. */
  readonly notes: readonly string[];
}

/** Who found it: the beginning of every JSON that ol-bench prints. What a command found is in the same object. */
export interface RunHeader {
  /** `ol-bench`'s; "run" for the one without a name. */
  readonly command: string;
  readonly arguments: readonly string[];
  /** When it ended, as ISO 8601. */
  readonly at: string;
  readonly version: string;
  /** With `+` behind it if files differ from it; "unknown" outside of a clone. */
  readonly commit: string;
  /** Of what was drawn; absent if nothing was. */
  readonly seed?: number;
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
