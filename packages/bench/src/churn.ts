import type { ForkFloor } from "./fork-floor.ts";
import type { BenchPool } from "./pool.ts";
import { type Aim, type Row, atLeast } from "./results.ts";
import { pairedRatios, summarize } from "./statistics.ts";

export interface ChurnOptions {
  readonly rounds: number;
  readonly durationMs: number;
}

const IN_FLIGHT = 8;
const AIMED_SHARE = 0.6;

/** How many there are in a second if each of so many clients begins the next when its last has ended. */
const perSecond = async (once: () => Promise<unknown>, durationMs: number): Promise<number> => {
  const begunMs = performance.now();
  let done = 0;
  const client = async (): Promise<void> => {
    while (performance.now() - begunMs < durationMs) {
      await once();
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, client));
  return (done * 1_000) / (performance.now() - begunMs);
};

/** Making a sandbox, its first reply and its destruction, many at once, against the same for a process only. */
export const measureChurn = async (
  floor: ForkFloor,
  pools: ReadonlyMap<string, BenchPool>,
  options: ChurnOptions,
): Promise<{ rows: Row[]; aims: Aim[] }> => {
  const forks: number[] = [];
  const sandboxes = new Map<string, number[]>([...pools.keys()].map((name) => [name, []]));
  for (let round = 0; round < options.rounds; round += 1) {
    forks.push(await perSecond(() => floor.measure(), options.durationMs));
    for (const [name, pool] of pools)
      sandboxes.get(name)?.push(await perSecond(() => pool.measureColdStart(), options.durationMs));
  }
  const floorName = `fork only, ${IN_FLIGHT} at once`;
  const rows = [...sandboxes].map(([name, values]): Row => {
    const ratios = { [floorName]: pairedRatios(values, forks) };
    return { name: `${name}: ${IN_FLIGHT} at once`, unit: "1/s", values: summarize(values), ratios };
  });
  return {
    rows: [{ name: floorName, unit: "1/s", values: summarize(forks), ratios: {} }, ...rows],
    aims: rows.map((row) =>
      atLeast(`${row.name} / ${floorName}`, row.ratios[floorName]?.median ?? 0, AIMED_SHARE),
    ),
  };
};
