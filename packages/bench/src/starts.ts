import { setTimeout as sleep } from "node:timers/promises";

import type { ForkFloor } from "./fork-floor.ts";
import type { BenchPool } from "./pool.ts";
import { measurePythonStart } from "./python.ts";
import { type Aim, type Row, atMost } from "./results.ts";
import { pairedRatios, summarize } from "./statistics.ts";
import type { BenchSite, BenchWorker } from "./worker.ts";

/** What takes part in the comparison of starts. */
export interface StartParts {
  /** An interpreter without third-party packages. */
  readonly cleanPython: string;
  readonly floor: ForkFloor;
  /** By the name of the row. */
  readonly pools: ReadonlyMap<string, BenchPool>;
  readonly site: BenchSite;
  readonly worker: BenchWorker;
  /** Other ways to run Python shut in, by the name of the row. */
  readonly others: ReadonlyMap<string, () => Promise<number>>;
  /** What is not to take longer than what: names of rows, and the baseline's. */
  readonly limits: readonly StartLimit[];
}

export interface StartLimit {
  readonly row: string;
  readonly baseline: "floor" | "python3 -c pass";
  readonly limit: number;
}

/** The kernel takes the others' namespaces and groups apart after they have ended; nobody should be measured meanwhile. */
const SETTLE_MS = 50;
const floorName = "fork only, no isolation (floor)";
const pythonName = "python3 -c pass";
export const httpName = "first call of a new lambda over HTTP";

/**
 * Measures every kind of start in turns, `rounds` times. The first rounds are thrown away: they pay for cold
 * caches and compilers, which no later call does.
 */
export const measureStarts = async (
  parts: StartParts,
  rounds: number,
  warmupRounds: number,
): Promise<{ rows: Row[]; aims: Aim[] }> => {
  const measures = new Map<string, (round: number) => Promise<number>>([
    [floorName, () => parts.floor.measure()],
    [pythonName, () => measurePythonStart(parts.cleanPython)],
    ...[...parts.pools].map(([name, pool]) => [name, () => pool.measureColdStart()] as const),
    [
      httpName,
      async (round) => {
        const name = `new-${round}`;
        await parts.site.addLambda(name);
        return parts.worker.call(name);
      },
    ],
    ...parts.others,
  ]);
  const values = new Map<string, number[]>([...measures.keys()].map((name) => [name, []]));
  for (let round = 0; round < rounds + warmupRounds; round += 1) {
    for (const [name, measure] of measures) {
      const value = await measure(round);
      if (round >= warmupRounds) values.get(name)?.push(value);
    }
    await sleep(parts.others.size === 0 ? 0 : SETTLE_MS);
  }
  const floor = values.get(floorName) ?? [];
  const python = values.get(pythonName) ?? [];
  const rows = [...values].map(([name, series]): Row => {
    const ratios = { floor: pairedRatios(series, floor), [pythonName]: pairedRatios(series, python) };
    return { name, unit: "ms", values: summarize(series), ratios };
  });
  const aims = parts.limits.map(({ row, baseline, limit }) => {
    const ratio = rows.find(({ name }) => name === row)?.ratios[baseline]?.median ?? Number.NaN;
    return atMost(`${row} / ${baseline}`, ratio, limit);
  });
  return { rows, aims };
};
