import type { Sandbox } from "@ol/sandbox";

import { closedLoop } from "../calls/loops.ts";
import { type NamedCommand, namedCommand, type Progress } from "../command.ts";
import { describeLoad, describeMachine } from "../machine.ts";
import { acquire, type BenchPool, memoryForMb, startPool } from "../pool.ts";
import { realPython } from "../python.ts";
import type { Results, Row } from "../results.ts";
import { formatTable, plotTable } from "../table.ts";
import {
  countOf,
  countsOf,
  SANDBOX_HELP,
  SANDBOX_OPTIONS,
  sandboxChoice,
  type SandboxChoice,
  secondsOf,
} from "./options.ts";
import { Series, single } from "./series.ts";

export interface ChurnRunOptions extends SandboxChoice {
  /** How many make and end sandboxes at the same time, in turn. */
  readonly clients: readonly number[];
  /** How many paused ones there are meanwhile, in turn. */
  readonly paused: readonly number[];
  readonly durationMs: number;
  readonly prepared: number;
  readonly progress: Progress;
}

/** Goes on until the time is over, whoever asks. */
function* until(endMs: number): Generator<undefined> {
  while (performance.now() < endMs) yield;
}

/** One that is paused: its code is loaded, since nothing else can be paused. */
const makePaused = async (pool: BenchPool): Promise<Sandbox> => {
  const sandbox = await pool.start();
  await sandbox.pause();
  return sandbox;
};

/** One sandbox's whole life, without a call. */
const live = async (pool: BenchPool, series: Series): Promise<void> => {
  let lastMs = performance.now();
  const lap = (name: string): void => {
    const nowMs = performance.now();
    series.add(name, nowMs - lastMs);
    lastMs = nowMs;
  };
  const sandbox = await acquire(pool.pool, pool.spec());
  await sandbox.ready;
  lap("create");
  await sandbox.pause();
  lap("pause");
  await sandbox.resume();
  lap("unpause");
  await sandbox.destroy();
  lap("destroy");
};

const measureOne = async (
  pool: BenchPool,
  engine: string,
  clients: number,
  paused: number,
  durationMs: number,
): Promise<Row[]> => {
  const series = new Series();
  const begunMs = performance.now();
  let lives = 0;
  await closedLoop(clients, until(begunMs + durationMs), async () => {
    await live(pool, series);
    lives += 1;
  });
  const perSec = (lives * 1_000) / (performance.now() - begunMs);
  const prefix = `${engine}, ${clients} client${clients === 1 ? "" : "s"}, ${paused} paused`;
  const labels = { engine, clients, paused };
  return [
    ...series.rows(prefix, "ms", labels),
    single(`${prefix}: lives`, "1/s", perSec, { ...labels, what: "lives" }),
  ];
};

const measureEngine = async (engine: string, options: ChurnRunOptions, python: string): Promise<Row[]> => {
  const { network, prepared, clients, paused, durationMs, progress } = options;
  await using pool = await startPool({
    name: `churn-${engine}`,
    engine,
    python,
    network,
    prepared,
    memoryMb: memoryForMb(Math.max(...clients) + Math.max(...paused)),
  });
  await pool.warmUp();
  const rows: Row[] = [];
  const waiting: Sandbox[] = [];
  for (const wanted of [...paused].sort((one, other) => one - other)) {
    while (waiting.length < wanted) waiting.push(await makePaused(pool));
    for (const count of clients) {
      progress(`${engine}: ${count} clients, ${wanted} paused`);
      rows.push(...(await measureOne(pool, engine, count, wanted, durationMs)));
    }
  }
  return rows;
};

/** Sandboxes that are made, paused, resumed and ended again and again, beside others that are paused. */
export const runChurn = async (options: ChurnRunOptions): Promise<Results> => {
  const notes = describeLoad();
  const python = await realPython();
  const rows: Row[] = [];
  for (const engine of options.engines) rows.push(...(await measureEngine(engine, options, python)));
  return { machine: describeMachine(python), rows, aims: [], skipped: options.skipped, notes };
};

const OPTIONS = {
  ...SANDBOX_OPTIONS,
  clients: { type: "string", default: "1,15" },
  paused: { type: "string", default: "0,32" },
  seconds: { type: "string", default: "5" },
  prepared: { type: "string", default: "1" },
} as const;

/** `ol-bench churn`. */
export const CHURN: NamedCommand = namedCommand("churn", {
  about: "create, pause, unpause and destroy by several clients, beside sandboxes that are paused",
  options: OPTIONS,
  help: `${SANDBOX_HELP}
  --clients=N,M      how many do so at once, in turn; default 1,15
  --paused=N,M       how many paused ones there are meanwhile, in turn; default 0,32
  --seconds=X        for each of these; default 5
  --prepared=N       processes that wait to become sandboxes; default 1`,
  run: async (values, progress) =>
    runChurn({
      ...(await sandboxChoice(values)),
      clients: countsOf("clients", values.clients),
      paused: countsOf("paused", values.paused, 0),
      durationMs: secondsOf("seconds", values.seconds),
      prepared: countOf("prepared", values.prepared, 0),
      progress,
    }),
  format: formatTable,
  plot: plotTable,
});
