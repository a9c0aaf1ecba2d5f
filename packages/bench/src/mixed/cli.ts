import { resolve } from "node:path";

import { type NamedCommand, namedCommand } from "../command.ts";
import { numberOf } from "../options.ts";
import { align, formatAims } from "../table.ts";
import { DEFAULT_MIXED_RUN, type MixedResults, runMixed } from "./run.ts";

const OPTIONS = {
  seed: { type: "string", default: "1" },
  calls: { type: "string", default: String(DEFAULT_MIXED_RUN.calls) },
  "per-sec": { type: "string", default: String(DEFAULT_MIXED_RUN.perSec) },
  directory: { type: "string" },
} as const;

const help = `  --seed=N           of the workload; default 1
  --calls=N          to each worker, once to learn from and once more to be measured; default ${DEFAULT_MIXED_RUN.calls}
  --per-sec=N        calls a second to each worker; default ${DEFAULT_MIXED_RUN.perSec}
  --directory=DIR    where packages are kept for the next run; default: nowhere`;

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

const seedOf = ({ seed }: { readonly seed: string }): number => numberOf("seed", seed, { least: 1 });

/** `ol-bench mixed`. */
export const MIXED: NamedCommand = namedCommand("mixed", {
  about: "plays lambdas with packages to real workers with and without zygotes",
  options: OPTIONS,
  help,
  more: "Installs packages from the index into a directory of its own first. docs/benchmarks.md explains the figures.",
  run: (flags, progress) =>
    runMixed({
      ...DEFAULT_MIXED_RUN,
      seed: seedOf(flags),
      calls: numberOf("calls", flags.calls, { least: 1 }),
      perSec: numberOf("per-sec", flags["per-sec"], { least: 1 }),
      directory: flags.directory === undefined ? undefined : resolve(flags.directory),
      progress,
    }),
  format: formatMixed,
  seedOf,
});
