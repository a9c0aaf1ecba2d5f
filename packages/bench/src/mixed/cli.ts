import { resolve } from "node:path";
import { parseArgs } from "node:util";

import { messageOf } from "@ol/common";

import { benchError } from "../errors.ts";
import { align, formatAims } from "../table.ts";
import { DEFAULT_MIXED_RUN, type MixedResults, runMixed } from "./run.ts";

const usage = `ol-bench mixed: plays lambdas with packages to real workers with and without zygotes

usage: ol-bench mixed [--seed=N] [--calls=N] [--per-sec=N] [--directory=DIR] [--json]

  --seed=N      of the workload; default 1
  --calls=N     to each worker, once to learn from and once more to be measured; default ${DEFAULT_MIXED_RUN.calls}
  --per-sec=N   calls a second to each worker; default ${DEFAULT_MIXED_RUN.perSec}
  --directory=DIR
                where packages are kept for the next run; default: nowhere
  --json        prints the JSON only; otherwise a table comes first

Installs packages from the index into a directory of its own first. docs/benchmarks.md explains the figures.
`;

interface Flags {
  readonly seed: number;
  readonly calls: number;
  readonly perSec: number;
  readonly directory: string | undefined;
  readonly json: boolean;
  readonly help: boolean;
}

const wholeNumber = (name: string, text: string): number => {
  if (!/^[1-9]\d{0,5}$/u.test(text))
    throw benchError("OL_BENCH_USAGE", `--${name} must be a whole number from 1 on, not ${text}`);
  return Number(text);
};

const withDefault = (value: number): { type: "string"; default: string } => ({
  type: "string",
  default: String(value),
});

const parseFlags = (args: readonly string[]): Flags => {
  const { calls, perSec } = DEFAULT_MIXED_RUN;
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        seed: withDefault(1),
        calls: withDefault(calls),
        "per-sec": withDefault(perSec),
        directory: { type: "string" },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
    return {
      ...values,
      seed: wholeNumber("seed", values.seed),
      calls: wholeNumber("calls", values.calls),
      perSec: wholeNumber("per-sec", values["per-sec"]),
      directory: values.directory === undefined ? undefined : resolve(values.directory),
    };
  } catch (error) {
    throw benchError("OL_BENCH_USAGE", messageOf(error), { cause: error });
  }
};

/** The results as people read them. */
export const formatMixed = (results: MixedResults): string => {
  const { seed, lambdas, calls, budgetMb, perSec, figures, aims, notes } = results;
  const head = [
    "start, ms",
    "mean",
    "p50",
    "p99",
    "over HTTP",
    "hit",
    "part",
    "miss",
    "built",
    "MB",
    "learning",
    "quarters",
  ];
  const body = figures.map((row) => [
    row.policy,
    row.meanMs.toFixed(1),
    row.p50Ms.toFixed(1),
    row.p99Ms.toFixed(0),
    row.meanHttpMs.toFixed(1),
    String(row.hits),
    String(row.partial),
    String(row.misses),
    `${row.built}${row.failed > 0 ? `, ${row.failed} failed` : ""}`,
    row.zygotesMb.toFixed(0),
    row.learningMs.toFixed(1),
    row.quartersMs.map((ms) => ms.toFixed(0)).join(" / "),
  ]);
  return [
    `seed ${seed}: ${lambdas} lambdas, ${calls} calls to each worker at ${perSec.toFixed(1)} a second, ${budgetMb} MB for zygotes`,
    "",
    ...align([head, ...body]),
    "",
    ...formatAims(aims, notes),
  ].join("\n");
};

/** Runs `ol-bench mixed`; throws OL_BENCH_USAGE for a wrong command line. */
export const runMixedCommand = async (args: readonly string[]): Promise<void> => {
  const { json, help, ...flags } = parseFlags(args);
  if (help) {
    process.stdout.write(usage);
    return;
  }
  const results = await runMixed({
    ...DEFAULT_MIXED_RUN,
    ...flags,
    progress: (what) => process.stderr.write(`ol-bench: ${what}\n`),
  });
  if (!json) process.stdout.write(`${formatMixed(results)}\n\n`);
  process.stdout.write(`${JSON.stringify(results)}\n`);
};
