import { CleanupStack } from "@ol/common";

import { type BareHttp, startBareHttp } from "./bare-http.ts";
import { verifyBaselines } from "./baselines.ts";
import { measureChurn } from "./churn.ts";
import { startForkFloor } from "./fork-floor.ts";
import { findPeers, type Peers } from "./peers/find.ts";
import { describeLoad, describeMachine } from "./machine.ts";
import type { Peer } from "./peers/peer.ts";
import { type BenchPool, startPool } from "./pool.ts";
import { makeCleanPython, measureCommand, realPython } from "./python.ts";
import { type Aim, type Results, type Row, atMost } from "./results.ts";
import { type StartLimit, httpName, measureStarts } from "./starts.ts";
import { summarize } from "./statistics.ts";
import { measureThroughput } from "./throughput.ts";
import { type BenchSite, type BenchWorker, makeSite, startWorker } from "./worker.ts";

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
interface Parts {
  readonly python: string;
  readonly cleanPython: string;
  readonly pools: ReadonlyMap<string, BenchPool>;
  readonly site: BenchSite;
  readonly worker: BenchWorker;
  readonly bare: BareHttp;
  readonly peers: Peers;
}

const freshHost = "sandbox, forked when asked for, network host";
const freshNone = "sandbox, forked when asked for, network none";
const prepared = "sandbox, prepared, network none";
const limits: readonly StartLimit[] = [
  { row: freshHost, baseline: "floor", limit: 1.5 },
  { row: prepared, baseline: "python3 -c pass", limit: 0.2 },
  { row: httpName, baseline: "python3 -c pass", limit: 0.35 },
];
const mostIdleMb = 2;

const measureMemory = async (pool: BenchPool, count: number): Promise<{ rows: Row[]; aims: Aim[] }> => {
  const name = `idle sandbox (1 of ${count})`;
  const values = summarize([await pool.measureIdlePssMb(count)]);
  return {
    rows: [{ name, unit: "MiB", values, ratios: {} }],
    aims: [atMost(`${name}, MiB`, values.median, mostIdleMb)],
  };
};

const measureProcesses = async (parts: Parts, options: RunOptions): Promise<{ rows: Row[]; aims: Aim[] }> => {
  options.progress(`starts, ${options.warmupRounds} + ${options.rounds} rounds`);
  const floor = await startForkFloor(parts.python);
  try {
    const peers = new Map(
      parts.peers.found.map(
        (peer) => [`${peer.name}, python3 -c pass`, () => measurePeerStart(peer)] as const,
      ),
    );
    const all = { ...parts, floor, others: peers, limits };
    const starts = await measureStarts(all, options.rounds, options.warmupRounds);
    options.progress("many starts at once");
    const churn = await measureChurn(floor, parts.pools, {
      rounds: options.loadRounds,
      durationMs: options.loadDurationMs / 2,
    });
    return { rows: [...starts.rows, ...churn.rows], aims: [...starts.aims, ...churn.aims] };
  } finally {
    await floor[Symbol.asyncDispose]();
  }
};

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
  await add(freshHost, "fresh-host", "host", 0);
  await add(freshNone, "fresh-none", "none", 0);
  await add(prepared, "prepared-none", "none", preparedChildren);
  return pools;
};

const measure = async (parts: Parts, options: RunOptions): Promise<Results> => {
  const processes = await measureProcesses(parts, options);
  options.progress("memory");
  const [pool] = parts.pools.values();
  if (pool === undefined) throw new Error("no pool was started");
  const memory = await measureMemory(pool, options.idleSandboxes);
  options.progress("throughput");
  await parts.site.addLambda("hello");
  await parts.worker.call("hello");
  const load = await measureThroughput(
    { name: "worker", port: parts.worker.port, path: "/run/hello" },
    { name: "bare", port: parts.bare.port, path: "/" },
    { rounds: options.loadRounds, warmupMs: options.loadWarmupMs, durationMs: options.loadDurationMs },
  );
  return {
    machine: describeMachine(parts.python),
    rows: [...processes.rows, ...memory.rows, ...load.rows],
    aims: [...processes.aims, ...memory.aims, ...load.aims],
    skipped: parts.peers.skipped,
    notes: load.notes,
  };
};

const measurePeerStart = async (peer: Peer): Promise<number> => {
  const { command, args } = await peer.command(["-c", "pass"]);
  return measureCommand(command, args);
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
    const site = await makeSite();
    cleanup.add(async () => site[Symbol.asyncDispose]());
    const memoryMb = memoryPerLambdaMb * (options.rounds + options.warmupRounds + 40);
    const worker = await startWorker({ site, name: "worker", python, memoryMb });
    cleanup.add(async () => worker[Symbol.asyncDispose]());
    const bare = await startBareHttp();
    cleanup.add(async () => bare[Symbol.asyncDispose]());
    const peers = await findPeers(["bubblewrap", "runc"], clean.path);
    cleanup.add(async () => peers[Symbol.asyncDispose]());
    const parts = { python, cleanPython: clean.path, pools, site, worker, bare, peers };
    const results = await measure(parts, options);
    return { ...results, notes: [...busy, ...results.notes] };
  } finally {
    await cleanup.run();
  }
};
