import { parseArgs } from "node:util";

import { messageOf } from "@ol/common";

import { benchError } from "../errors.ts";
import { align } from "../table.ts";
import { type Comparison, compareZygotePolicies } from "./compare.ts";

export const zygotesUsage = `ol-bench zygotes: compares policies for the zygote tree in virtual time

usage: ol-bench zygotes [--seeds=N] [--first-seed=N] [--json]

  --seeds=N        how many workloads; default 10
  --first-seed=N   the first one's seed, the others' follow; default 1
  --json           prints the JSON only, with every workload; otherwise a table

Nothing is started or measured: the same seeds give the same figures on every machine. docs/zygotes.md explains them.
`;

const wholeNumber = (name: string, text: string): number => {
  if (!/^[1-9]\d{0,5}$/u.test(text))
    throw benchError("OL_BENCH_USAGE", `--${name} must be a whole number from 1 on, not ${text}`);
  return Number(text);
};

const parseFlags = (args: readonly string[]): { seeds: number[]; json: boolean; help: boolean } => {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        seeds: { type: "string", default: "10" },
        "first-seed": { type: "string", default: "1" },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
    const first = wholeNumber("first-seed", values["first-seed"]);
    const count = wholeNumber("seeds", values.seeds);
    return { ...values, seeds: Array.from({ length: count }, (_, index) => first + index) };
  } catch (error) {
    throw benchError("OL_BENCH_USAGE", messageOf(error), { cause: error });
  }
};

/** The comparison as people read it. */
export const formatComparison = ({ workloads, policies }: Comparison): string => {
  const head = ["policy", "regret median / mean / max %", "mean ms", "p50 ms", "p99 ms", "builds", "CPU s"];
  const body = policies.map(({ policy, regretPercent: { median, mean, max }, ...row }) => [
    policy,
    `${median.toFixed(0)} / ${mean.toFixed(0)} / ${max.toFixed(0)}`,
    row.meanMs.toFixed(1),
    row.p50Ms.toFixed(1),
    row.p99Ms.toFixed(0),
    row.builds.toFixed(0),
    row.buildSec.toFixed(1),
  ]);
  const fittedMs = workloads.reduce((sum, run) => sum + run.fittedMs, 0) / workloads.length;
  return [
    ...align([head, ...body]),
    "",
    `over ${workloads.length} workloads; regret: how much longer the mean start took than with the fitted tree all there`,
    `from the beginning (${fittedMs.toFixed(1)} ms)`,
  ].join("\n");
};

/** Runs `ol-bench zygotes`; throws OL_BENCH_USAGE for a wrong command line. */
export const runZygotes = async (args: readonly string[]): Promise<void> => {
  const { seeds, json, help } = parseFlags(args);
  if (help) {
    process.stdout.write(zygotesUsage);
    return;
  }
  const comparison = await compareZygotePolicies({
    seeds,
    progress: (what) => process.stderr.write(`ol-bench: ${what}\n`),
  });
  process.stdout.write(json ? `${JSON.stringify(comparison)}\n` : `${formatComparison(comparison)}\n`);
};
