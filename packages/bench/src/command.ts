import { writeFile } from "node:fs/promises";

import { messageOf } from "@ol/common";

import { benchError } from "./errors.ts";
import { type OptionTable, type OptionValues, parseOptions } from "./options.ts";
import { runHeader } from "./run-header.ts";

/** Told what begins. */
export type Progress = (what: string) => void;

/** A command of ol-bench: what it takes, what it does, and how people read what it found. */
export interface BenchCommand<Table extends OptionTable, Found extends object> {
  /** What it does, in one line without a capital letter. */
  readonly about: string;
  readonly options: Table;
  /** A line of --help for each option, without those that all commands have. */
  readonly help: string;
  /** What --help says behind them. */
  readonly more?: string;
  /** Throws OL_BENCH_USAGE for values that cannot be. */
  run(values: OptionValues<Table>, progress: Progress): Promise<Found>;
  /** The table. */
  format(found: Found): string;
  /** An SVG of it; absent if there is nothing to draw. */
  plot?(found: Found): string;
  /** Throws if what was found is not as it should be, once all of it is printed; absent if it may be anything. */
  judge?(found: Found): void;
  /** What everything was drawn from; absent if nothing is. */
  seedOf?(values: OptionValues<Table>): number;
}

/** A command as the command line knows it. */
export interface NamedCommand {
  readonly name: string;
  readonly about: string;
  /** Throws OL_BENCH_USAGE for wrong arguments. */
  run(args: readonly string[]): Promise<void>;
}

const COMMON = {
  json: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;
const PLOT = { svg: { type: "string" } } as const;

interface CommonValues {
  readonly json: boolean;
  readonly help: boolean;
  readonly svg?: string;
}

const progress: Progress = (what) => {
  process.stderr.write(`ol-bench: ${what}\n`);
};

const save = async (path: string, text: string): Promise<void> => {
  try {
    await writeFile(path, text);
  } catch (error) {
    throw benchError("OL_BENCH_USAGE", `--svg: ${messageOf(error)}`, { cause: error });
  }
};

const helpText = (
  name: string,
  { about, help, more }: { readonly about: string; readonly help: string; readonly more?: string },
  plots: boolean,
): string =>
  [
    `ol-bench ${name}: ${about}`,
    "",
    `usage: ol-bench ${name} [options]`,
    "",
    ...(help === "" ? [] : [help]),
    ...(plots ? ["  --svg=FILE         a plot of it"] : []),
    "  --json             prints the JSON only; otherwise a table comes first",
    "  --help             this text",
    ...(more === undefined ? [] : ["", more]),
    "",
  ].join("\n");

/** Makes of a command what the command line calls. */
export const namedCommand = <const Table extends OptionTable, Found extends object>(
  name: string,
  command: BenchCommand<Table, Found>,
): NamedCommand => ({
  name,
  about: command.about,
  run: async (args) => {
    const plots = command.plot !== undefined;
    const table: OptionTable = { ...command.options, ...COMMON, ...(plots && PLOT) };
    const given = parseOptions(table, args);
    const { json, help, svg } = given as unknown as CommonValues;
    if (help) {
      process.stdout.write(helpText(name, command, plots));
      return;
    }
    const values = given as OptionValues<Table>;
    const seed = command.seedOf?.(values);
    if (seed !== undefined) progress(`seed ${seed}`);
    const found = await command.run(values, progress);
    if (!json) process.stdout.write(`${command.format(found)}\n\n`);
    process.stdout.write(`${JSON.stringify({ ...(await runHeader(name, args, seed)), ...found })}\n`);
    // Last: whatever is wrong with the file, what was measured is not lost.
    if (svg !== undefined && command.plot !== undefined) await save(svg, command.plot(found));
    command.judge?.(found);
  },
});
