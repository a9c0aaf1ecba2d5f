import type { Sandbox } from "@ol/sandbox";

import { closedLoop } from "../calls/loops.ts";
import { type NamedCommand, namedCommand, type Progress } from "../command.ts";
import { cpuUsOf } from "../cpu.ts";
import { Histogram } from "../histogram.ts";
import { runLoad } from "../load.ts";
import { describeLoad, describeMachine } from "../machine.ts";
import { descendantsOf } from "../memory.ts";
import { type BenchPool, callHello, memoryForMb, startPool } from "../pool.ts";
import { realPython } from "../python.ts";
import type { Results, Row } from "../results.ts";
import { formatTable, plotTable } from "../table.ts";
import { makeSite, startWorker } from "../worker.ts";
import {
  countsOf,
  SANDBOX_HELP,
  SANDBOX_OPTIONS,
  sandboxChoice,
  type SandboxChoice,
  secondsOf,
} from "./options.ts";
import { Series, single } from "./series.ts";

export interface WarmOptions extends SandboxChoice {
  /** How many calls are on their way at once, in turn. */
  readonly atOnce: readonly number[];
  readonly warmupMs: number;
  readonly durationMs: number;
  readonly progress: Progress;
}

const LAMBDA = "hello";
/** The rounds in which the load generator is asked for its percentiles. */
const ROUNDS = 3;
const WORKER_MB = 4_096;

/** CPU time of all below a process, in us. One that ends meanwhile takes its time along. */
const cpuUsBelow = async (pid: number): Promise<number> => {
  let sum = 0;
  for (const one of await descendantsOf(pid)) {
    try {
      sum += await cpuUsOf(one);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT" && code !== "ESRCH") throw error;
    }
  }
  return sum;
};

function* sandboxesUntil(sandboxes: readonly Sandbox[], endMs: number): Generator<Sandbox> {
  for (let at = 0; performance.now() < endMs; at += 1) yield sandboxes[at % sandboxes.length] as Sandbox;
}

/** Each client has a sandbox of its own: what is measured is a call, not how calls wait for each other. */
const callFor = async (
  sandboxes: readonly Sandbox[],
  durationMs: number,
  seen: (ms: number) => void,
): Promise<void> => {
  const endMs = performance.now() + durationMs;
  await Promise.all(
    sandboxes.map((sandbox) =>
      closedLoop(1, sandboxesUntil([sandbox], endMs), async () => {
        const begunMs = performance.now();
        await callHello(sandbox);
        seen(performance.now() - begunMs);
      }),
    ),
  );
};

const measurePool = async (
  pool: BenchPool,
  engine: string,
  count: number,
  { warmupMs, durationMs }: WarmOptions,
): Promise<Row[]> => {
  const sandboxes: Sandbox[] = [];
  while (sandboxes.length < count) sandboxes.push(await pool.start());
  const ignored = new Histogram();
  await callFor(sandboxes, warmupMs, (ms) => ignored.record(ms));
  const times = new Histogram();
  const beforeUs = await cpuUsBelow(process.pid);
  const own = process.cpuUsage();
  await callFor(sandboxes, durationMs, (ms) => times.record(ms));
  const { user, system } = process.cpuUsage(own);
  const belowUs = (await cpuUsBelow(process.pid)) - beforeUs;
  await Promise.all(sandboxes.map((sandbox) => sandbox.destroy()));
  const prefix = `${engine}, engine only, ${count} at once`;
  const labels = { engine, level: "engine", atOnce: count };
  return [
    {
      name: `${prefix}: call`,
      unit: "ms",
      values: times.summary(),
      ratios: {},
      labels: { ...labels, what: "call" },
    },
    single(`${prefix}: CPU a call, this process`, "us", (user + system) / times.count, {
      ...labels,
      what: "cpu",
    }),
    single(`${prefix}: CPU a call, sandboxes`, "us", belowUs / times.count, {
      ...labels,
      what: "cpu of sandboxes",
    }),
  ];
};

const measureEngine = async (engine: string, options: WarmOptions, python: string): Promise<Row[]> => {
  await using pool = await startPool({
    name: `warm-${engine}`,
    engine,
    python,
    network: options.network,
    prepared: 0,
    memoryMb: memoryForMb(Math.max(...options.atOnce)),
  });
  await pool.warmUp();
  const rows: Row[] = [];
  for (const count of options.atOnce) {
    options.progress(`${engine}, engine only, ${count} at once`);
    rows.push(...(await measurePool(pool, engine, count, options)));
  }
  return rows;
};

/** The same through a worker's HTTP, from the frozen load generator. */
const measureWorker = async (engine: string, options: WarmOptions, python: string): Promise<Row[]> => {
  const { atOnce, warmupMs, durationMs, network, progress } = options;
  await using site = await makeSite();
  await site.addLambda(LAMBDA);
  await using worker = await startWorker({
    site,
    name: "worker",
    python,
    memoryMb: WORKER_MB,
    settings: { sandbox: engine, network },
  });
  await worker.call(LAMBDA);
  const rows: Row[] = [];
  for (const connections of atOnce) {
    progress(`${engine}, through a worker, ${connections} at once`);
    const load = { port: worker.port, path: `/run/${LAMBDA}`, connections };
    const [us, perSec] = [new Series(), new Series()];
    await runLoad({ ...load, warmupMs: 0, durationMs: Math.round(warmupMs) });
    for (let round = 0; round < ROUNDS; round += 1) {
      const [beforeUs, beforeBelowUs] = [await cpuUsOf(worker.pid), await cpuUsBelow(worker.pid)];
      const result = await runLoad({ ...load, warmupMs: 0, durationMs: Math.round(durationMs / ROUNDS) });
      us.add("p50", result.p50Us);
      us.add("p90", result.p90Us);
      us.add("p99", result.p99Us);
      us.add("longest", result.maxUs);
      us.add("CPU a call, worker", ((await cpuUsOf(worker.pid)) - beforeUs) / result.replies);
      us.add("CPU a call, sandboxes", ((await cpuUsBelow(worker.pid)) - beforeBelowUs) / result.replies);
      perSec.add("throughput", result.requestsPerSecond);
    }
    const prefix = `${engine}, through a worker, ${connections} at once`;
    const labels = { engine, level: "worker", atOnce: connections };
    rows.push(...us.rows(prefix, "us", labels), ...perSec.rows(prefix, "1/s", labels));
  }
  return rows;
};

/** What a call of a warm lambda takes, in time and CPU: of the sandbox alone, and through a worker. */
export const runWarm = async (options: WarmOptions): Promise<Results> => {
  const notes = describeLoad();
  const python = await realPython();
  const rows: Row[] = [];
  for (const engine of options.engines) {
    rows.push(...(await measureEngine(engine, options, python)));
    rows.push(...(await measureWorker(engine, options, python)));
  }
  return { machine: describeMachine(python), rows, aims: [], skipped: options.skipped, notes };
};

const OPTIONS = {
  ...SANDBOX_OPTIONS,
  "at-once": { type: "string", default: "1,8,32" },
  warmup: { type: "string", default: "1" },
  seconds: { type: "string", default: "5" },
} as const;

/** `ol-bench warm`. */
export const WARM: NamedCommand = namedCommand("warm", {
  about: "latency and CPU time of a call of a warm lambda, in the engine alone and through a worker",
  options: OPTIONS,
  help: `${SANDBOX_HELP}
  --at-once=N,M      calls on their way at once, in turn; default 1,8,32
  --warmup=X         seconds before each measurement; default 1
  --seconds=X        measured; default 5`,
  run: async (values, progress) =>
    runWarm({
      ...(await sandboxChoice(values)),
      atOnce: countsOf("at-once", values["at-once"]),
      warmupMs: secondsOf("warmup", values.warmup),
      durationMs: secondsOf("seconds", values.seconds),
      progress,
    }),
  format: formatTable,
  plot: plotTable,
});
