import { align, formatAims } from "../table.ts";
import { meanFigures, type Figures } from "./outcome.ts";
import { type Panel, plotBars } from "../plot/bars.ts";
import type { ClusterResults, PolicyResult, ScenarioResult } from "./run.ts";

interface Means {
  readonly policy: string;
  readonly saturated: Figures;
  readonly half: Figures;
  readonly simulated:
    | { readonly perSec: number; readonly coldShare: number; readonly p99Ms: number }
    | undefined;
}

const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

const meansOf = ({ policy, seeds }: PolicyResult): Means => {
  const simulated = seeds.flatMap((figures) => figures.simulated ?? []);
  return {
    policy,
    saturated: meanFigures(seeds.map(({ saturated }) => saturated)),
    half: meanFigures(seeds.map(({ half }) => half)),
    simulated:
      simulated.length === 0
        ? undefined
        : {
            perSec: meanOf(simulated.map(({ saturated }) => saturated.perSec)),
            coldShare: meanOf(simulated.map(({ saturated }) => saturated.coldShare)),
            p99Ms: meanOf(simulated.map(({ half }) => half.p99Ms)),
          },
  };
};

const percent = (share: number): string => (100 * share).toFixed(share < 0.1 ? 1 : 0);

const HEAD = [
  "policy",
  "req/s",
  "cold %",
  "imports %",
  "p50 ms",
  "p99 ms",
  "cold %",
  "refused %",
  "failed %",
  "simulated: req/s",
  "cold %",
  "p99 ms",
  "",
];

const lineOf = ({ policy, saturated, half, simulated }: Means): string[] => [
  policy,
  saturated.perSec.toFixed(0),
  percent(saturated.coldShare),
  percent(saturated.importShare),
  half.p50Ms.toFixed(0),
  half.p99Ms.toFixed(0),
  percent(half.coldShare),
  percent(half.refusedShare),
  percent(saturated.failedShare + half.failedShare),
  simulated?.perSec.toFixed(0) ?? "-",
  simulated === undefined ? "-" : percent(simulated.coldShare),
  simulated?.p99Ms.toFixed(0) ?? "-",
  "",
];

const formatScenario = ({ label, memoryMb, rows }: ScenarioResult): string[] => [
  `${label} (${memoryMb} MB for each worker)`,
  "",
  ...align([HEAD, ...rows.map((row) => lineOf(meansOf(row)))]),
  "",
];

const describe = ({ options }: ClusterResults): string => {
  const { workers, slots, lambdas, runMs, seeds, recordedCalls } = options;
  const calls = recordedCalls === undefined ? "" : `, ${recordedCalls} recorded calls again and again`;
  return `${workers} workers with ${slots} slots, ${lambdas} lambdas of ${runMs} ms${calls}; means over ${seeds.length} seeds`;
};

/** The results as people read them. */
export const formatCluster = (results: ClusterResults): string =>
  [
    describe(results),
    "",
    ...results.scenarios.flatMap(formatScenario),
    "req/s and the first two shares with all workers busy; the others with half as many calls a second as the best policy answered then.",
    "cold: calls that waited for a new sandbox; imports: sandboxes that imported packages themselves, for each call that was answered.",
    "",
    ...formatAims(results.aims, results.notes),
  ].join("\n");

/** The results as an SVG: throughput and 99th percentile of each policy, with what the simulator says as an outline. */
export const plotCluster = (results: ClusterResults): string => {
  const panels = results.scenarios.flatMap(({ label, rows }): Panel[] => {
    const means = rows.map(meansOf);
    return [
      {
        title: `${label}: throughput`,
        unit: "calls a second",
        bars: means.map(({ policy, saturated, simulated }) => ({
          label: policy,
          value: saturated.perSec,
          expected: simulated?.perSec,
        })),
      },
      {
        title: `${label}: p99 at half load`,
        unit: "ms",
        bars: means.map(({ policy, half, simulated }) => ({
          label: policy,
          value: half.p99Ms,
          expected: simulated?.p99Ms,
        })),
      },
    ];
  });
  return plotBars(`${describe(results)}; dashed: simulated`, panels);
};
