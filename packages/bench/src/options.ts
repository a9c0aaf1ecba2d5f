import { parseArgs, type ParseArgsConfig } from "node:util";

import { messageOf } from "@ol/common";

import { benchError } from "./errors.ts";

/** What a command takes, as node:util's parseArgs wants it. */
export type OptionTable = NonNullable<ParseArgsConfig["options"]>;

/** What was given, by the option's name. */
export type OptionValues<Table extends OptionTable> = ReturnType<
  typeof parseArgs<{ options: Table; args: string[] }>
>["values"];

const usageError = (message: string, cause?: unknown): Error =>
  benchError("OL_BENCH_USAGE", message, cause === undefined ? {} : { cause });

/** Reads a command line; fails with OL_BENCH_USAGE. */
export const parseOptions = <const Table extends OptionTable>(
  options: Table,
  args: readonly string[],
): OptionValues<Table> => {
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    throw usageError(messageOf(error), error);
  }
};

/** Between which numbers an option's must be. */
export interface NumberRange {
  readonly least: number;
  /** Default: a million. */
  readonly most?: number;
  /** Whether it may have a fraction. */
  readonly fraction?: boolean;
}

const MOST = 1_000_000;

/** An option's number; fails with OL_BENCH_USAGE. `name` is without dashes. */
export const numberOf = (
  name: string,
  text: string,
  { least, most = MOST, fraction = false }: NumberRange,
): number => {
  const value = Number(text);
  if (text.trim() !== "" && value >= least && value <= most && (fraction || Number.isInteger(value)))
    return value;
  throw usageError(
    `--${name} must be a ${fraction ? "" : "whole "}number from ${least} to ${most}, not ${JSON.stringify(text)}`,
  );
};

/** Numbers with commas between them, each in the range; fails with OL_BENCH_USAGE. */
export const numbersOf = (name: string, text: string, range: NumberRange): readonly number[] =>
  text.split(",").map((part) => numberOf(name, part.trim(), range));

/** One of some words; fails with OL_BENCH_USAGE, which names them. */
export const wordOf = <Word extends string>(name: string, text: string, words: readonly Word[]): Word => {
  const found = words.find((word) => word === text);
  if (found !== undefined) return found;
  throw usageError(`--${name} must be one of ${words.join(", ")}, not ${JSON.stringify(text)}`);
};

/** Some of those words with commas between them, each once; fails with OL_BENCH_USAGE. */
export const wordsOf = <Word extends string>(
  name: string,
  text: string,
  words: readonly Word[],
): readonly Word[] => [...new Set(text.split(",").map((part) => wordOf(name, part.trim(), words)))];
