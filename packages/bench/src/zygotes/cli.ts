import { type NamedCommand, namedCommand } from "../command.ts";
import { numberOf } from "../options.ts";
import { align } from "../table.ts";
import { type Comparison, compareZygotePolicies } from "./compare.ts";

const OPTIONS = {
  seeds: { type: "string", default: "10" },
  "first-seed": { type: "string", default: "1" },
} as const;

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

const seedOf = (flags: { readonly "first-seed": string }): number =>
  numberOf("first-seed", flags["first-seed"], { least: 1 });

/** `ol-bench zygotes`. */
export const ZYGOTES: NamedCommand = namedCommand("zygotes", {
  about: "compares policies for the zygote tree in virtual time",
  options: OPTIONS,
  help: `  --seeds=N          how many workloads; default 10
  --first-seed=N     the first one's seed, the others' follow; default 1`,
  more: "Nothing is started or measured: the same seeds give the same figures on every machine. docs/zygotes.md explains them.",
  run: (flags, progress) => {
    const first = seedOf(flags);
    const count = numberOf("seeds", flags.seeds, { least: 1 });
    return compareZygotePolicies({
      seeds: Array.from({ length: count }, (_, index) => first + index),
      progress,
    });
  },
  format: formatComparison,
  seedOf,
});
