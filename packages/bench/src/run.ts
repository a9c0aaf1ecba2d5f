import { cpus, loadavg, release, totalmem } from "node:os";

import { CleanupStack } from "@ol/common";

import { type BareHttp, startBareHttp } from "./bare-http.ts";
import { verifyBaselines } from "./baselines.ts";
import { startForkFloor } from "./fork-floor.ts";
import { type BenchPool, startPool } from "./pool.ts";
import { makeCleanPython, realPython } from "./python.ts";
import type { Results, Row } from "./results.ts";
import { measureStarts } from "./starts.ts";
import { summarize } from "./statistics.ts";
import { measureThroughput } from "./throughput.ts";
import { type BenchWorker, startWorker } from "./worker.ts";

/** How long to measure. More rounds narrow the spread. */
export interface RunOptions {
  readonly rounds: number;
  readonly warmupRounds: number;
  readonly loadRounds: number;
  readonly loadWarmupMs: number;
  readonly loadDurationMs: number;
  readonly idleSandboxes: number;
  /** Told what begins. */
  readonly progress: (what: string) => void;
}

export const DEFAULT_OPTIONS: Omit<RunOptions, "progress"> = {
  rounds: 60,
  warmupRounds: 10,
  loadRounds: 5,
  loadWarmupMs: 1000,
  loadDurationMs: 3000,
  idleSandboxes: 10,
};

/** For a quick look, and for the test that the benchmark works; its figures mean little. */
export const QUICK_OPTIONS: Omit<RunOptions, "progress"> = {
  rounds: 5,
  warmupRounds: 2,
  loadRounds: 1,
  loadWarmupMs: 200,
  loadDurationMs: 500,
  idleSandboxes: 3,
};

const preparedChildren = 2;
const memoryPerLambdaMb = 64;
/** Others' work per core from which on the figures say more about it than about us. */
const busyLoadPerCore = 0.3;

const describeLoad = (): string[] => {
  const [lastMinute = 0] = loadavg();
  if (lastMinute / cpus().length < busyLoadPerCore) return [];
  return [
    `the machine was busy before it began (load average ${lastMinute.toFixed(2)}): repeat it on a quiet one`,
  ];
};

const describeMachine = (python: string): Results["machine"] => ({
  kernel: release(),
  arch: process.arch,
  cores: cpus().length,
  memoryMb: Math.round(totalmem() / 2 ** 20),
  node: process.versions.node,
  python,
  user: process.getuid?.() === 0 ? "root" : "ordinary",
});

interface Parts {
  readonly python: string;
  readonly cleanPython: string;
  readonly pools: ReadonlyMap<string, BenchPool>;
  readonly worker: BenchWorker;
  readonly bare: BareHttp;
}

const measureMemory = async (pool: BenchPool, count: number): Promise<Row> => ({
  name: `idle sandbox (1 of ${count})`,
  unit: "MiB",
  values: summarize([await pool.measureIdlePssMb(count)]),
  ratios: {},
});

const startPools = async (python: string, cleanup: CleanupStack): Promise<Map<string, BenchPool>> => {
  const pools = new Map<string, BenchPool>();
  const add = async (
    row: string,
    name: string,
    network: "host" | "none",
    prepared: number,
  ): Promise<void> => {
    const pool = await startPool({ name, python, network, prepared });
    cleanup.add(async () => pool[Symbol.asyncDispose]());
    pools.set(row, pool);
  };
  await add("sandbox, forked when asked for, network host", "fresh-host", "host", 0);
  await add("sandbox, forked when asked for, network none", "fresh-none", "none", 0);
  await add("sandbox, prepared, network none", "prepared-none", "none", preparedChildren);
  return pools;
};

const measure = async (parts: Parts, options: RunOptions): Promise<Results> => {
  options.progress(`starts, ${options.warmupRounds} + ${options.rounds} rounds`);
  const floor = await startForkFloor(parts.python);
  const starts = await (async () => {
    try {
      return await measureStarts({ ...parts, floor }, options.rounds, options.warmupRounds);
    } finally {
      await floor[Symbol.asyncDispose]();
    }
  })();
  options.progress("memory");
  const [pool] = parts.pools.values();
  const memory = pool === undefined ? [] : [await measureMemory(pool, options.idleSandboxes)];
  options.progress("throughput");
  await parts.worker.addLambda("hello");
  await parts.worker.call("hello");
  const load = await measureThroughput(
    { name: "worker", port: parts.worker.port, path: "/run/hello" },
    { name: "bare", port: parts.bare.port, path: "/" },
    { rounds: options.loadRounds, warmupMs: options.loadWarmupMs, durationMs: options.loadDurationMs },
  );
  return {
    machine: describeMachine(parts.python),
    rows: [...starts.rows, ...memory, ...load.rows],
    aims: [...starts.aims, ...load.aims],
    notes: load.notes,
  };
};

/** The whole benchmark. Everything it starts is gone when it returns or throws. */
export const runBenchmark = async (options: RunOptions): Promise<Results> => {
  await verifyBaselines();
  const cleanup = new CleanupStack();
  try {
    options.progress("starting");
    const busy = describeLoad();
    const python = await realPython();
    const clean = await makeCleanPython(python);
    cleanup.add(async () => clean[Symbol.asyncDispose]());
    const pools = await startPools(python, cleanup);
    // Every first call of a new lambda leaves an idle sandbox behind; none should have to make room.
    const worker = await startWorker(
      python,
      memoryPerLambdaMb * (options.rounds + options.warmupRounds + 40),
    );
    cleanup.add(async () => worker[Symbol.asyncDispose]());
    const bare = await startBareHttp();
    cleanup.add(async () => bare[Symbol.asyncDispose]());
    const results = await measure({ python, cleanPython: clean.path, pools, worker, bare }, options);
    return { ...results, notes: [...busy, ...results.notes] };
  } finally {
    await cleanup.run();
  }
};
