import { type LoadResult, runLoad } from "./load.ts";
import { type Aim, type Row, atLeast } from "./results.ts";
import { pairedRatios, summarize } from "./statistics.ts";

/** Something that answers HTTP, and what the rows call it. */
export interface Target {
  readonly name: string;
  readonly port: number;
  readonly path: string;
}

export interface ThroughputOptions {
  readonly rounds: number;
  readonly warmupMs: number;
  readonly durationMs: number;
}

const bareName = "bare node:http";
/** Connections, and the share of bare throughput that is aimed at. */
const aimedShares = new Map([
  [1, 0.5],
  [8, 0.9],
  [32, 0.9],
]);
/** From here on the generator may have been the limit, and the ratio then looks better than it is. */
const busyGenerator = 0.9;

type Pair = readonly [ours: LoadResult, bare: LoadResult];

const toRows = (name: string, connections: number, pairs: readonly Pair[]): Row[] => {
  const label = `${name}, ${connections} connection${connections === 1 ? "" : "s"}`;
  const of = (pick: (result: LoadResult) => number): [number[], number[]] => [
    pairs.map(([ours]) => pick(ours)),
    pairs.map(([, bare]) => pick(bare)),
  ];
  const [ours, bare] = of((result) => result.requestsPerSecond);
  const [oursP50, bareP50] = of((result) => result.p50Us);
  const [oursP99, bareP99] = of((result) => result.p99Us);
  const row = (what: string, unit: Row["unit"], values: number[], base: number[]): Row => ({
    name: `${label}: ${what}`,
    unit,
    values: summarize(values),
    ratios: { [bareName]: pairedRatios(values, base) },
  });
  return [
    { name: `${bareName}, ${connections}: throughput`, unit: "1/s", values: summarize(bare), ratios: {} },
    row("throughput", "1/s", ours, bare),
    row("p50", "us", oursP50, bareP50),
    row("p99", "us", oursP99, bareP99),
  ];
};

/** Loads both in turns at each number of connections; who goes first changes with every round. */
export const measureThroughput = async (
  ours: Target,
  bare: Target,
  options: ThroughputOptions,
): Promise<{ rows: Row[]; aims: Aim[]; notes: string[] }> => {
  const rows: Row[] = [];
  const aims: Aim[] = [];
  const notes: string[] = [];
  for (const [connections, aimedShare] of aimedShares) {
    const pairs: Pair[] = [];
    const load = (target: Target): Promise<LoadResult> => runLoad({ ...options, ...target, connections });
    for (let round = 0; round < options.rounds; round += 1) {
      const oursFirst = round % 2 === 0;
      const first = await load(oursFirst ? ours : bare);
      const second = await load(oursFirst ? bare : ours);
      pairs.push(oursFirst ? [first, second] : [second, first]);
    }
    const added = toRows(ours.name, connections, pairs);
    rows.push(...added);
    const ratio = added[1]?.ratios[bareName]?.median ?? Number.NaN;
    const plural = connections === 1 ? "" : "s";
    aims.push(atLeast(`throughput at ${connections} connection${plural} / ${bareName}`, ratio, aimedShare));
    const busiest = Math.max(...pairs.flat().map((result) => result.cpuShare));
    if (busiest > busyGenerator)
      notes.push(
        `at ${connections} connections the load generator used ${busiest.toFixed(2)} of a CPU: it may be the limit`,
      );
  }
  return { rows, aims, notes };
};
