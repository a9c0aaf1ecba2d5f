import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { CleanupStack } from "@ol/common";

import { cpuUsOf } from "../cpu.ts";
import { benchError } from "../errors.ts";
import { runLoad } from "../load.ts";
import { describeLoad, describeMachine } from "../machine.ts";
import { realPython } from "../python.ts";
import { atMost, type Results, type Row } from "../results.ts";
import { pairedRatios, summarize } from "../statistics.ts";
import { type BenchSite, type BenchWorker, makeSite, startWorker } from "../worker.ts";

export interface ReportOptions {
  readonly rounds: number;
  readonly warmupMs: number;
  readonly durationMs: number;
  readonly connections: number;
  /** Told what begins. */
  readonly progress: (what: string) => void;
}

export const DEFAULT_REPORT: Omit<ReportOptions, "progress"> = {
  rounds: 9,
  warmupMs: 2_000,
  durationMs: 5_000,
  connections: 32,
};

const LAMBDA = "hello";
const MEMORY_MB = 1_024;
/** Of the CPU time of a worker that reports nothing. */
const MOST_OF_UNREPORTED = 1.02;
/** As a balancer asks for a worker's state. */
const STATE_EVERY_MS = 1_000;
const STATE_MS = 10_000;

/** A worker under trial, and what its calls took in CPU time. */
interface Contender {
  readonly name: string;
  readonly worker: BenchWorker;
  /** Whether somebody asks for its state all the time, as a balancer does. */
  readonly asked: boolean;
  readonly cpuUs: number[];
}

const WITH = "with the report";
const WITHOUT = "without";
const CONTROL = "without, once more";

/** Asks for the worker's state, each time for what has changed, until it is told to stop. */
const askForState = async ({ port }: BenchWorker, signal: AbortSignal): Promise<void> => {
  let since = "";
  while (!signal.aborted) {
    const reply = await fetch(`http://127.0.0.1:${port}/state${since}`, {
      signal: AbortSignal.timeout(STATE_MS),
    });
    if (reply.status !== 200)
      throw benchError("OL_BENCH_WRONG_REPLY", `/state: ${reply.status} ${await reply.text()}`);
    const { epoch } = (await reply.json()) as { readonly epoch: number };
    since = `?since=${epoch}`;
    await sleep(STATE_EVERY_MS, undefined, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }
};

const measure = async ({ worker, asked, cpuUs }: Contender, options: ReportOptions): Promise<void> => {
  const { warmupMs, durationMs, connections } = options;
  const load = { port: worker.port, path: `/run/${LAMBDA}`, connections, warmupMs: 0 };
  const stop = new AbortController();
  const asking = asked ? askForState(worker, stop.signal) : Promise.resolve();
  const loading = (async (): Promise<void> => {
    await runLoad({ ...load, durationMs: warmupMs });
    const before = await cpuUsOf(worker.pid);
    const { replies } = await runLoad({ ...load, durationMs });
    cpuUs.push(((await cpuUsOf(worker.pid)) - before) / replies);
  })().finally(() => stop.abort());
  await Promise.all([loading, asking]);
};

/** Whether its replies say anything of its load: a comparison of two workers that do the same would say that it costs nothing. */
const checkReport = async ({ port }: BenchWorker, wanted: boolean): Promise<void> => {
  const reply = await fetch(`http://127.0.0.1:${port}/run/${LAMBDA}`, {
    method: "POST",
    body: "{}",
    signal: AbortSignal.timeout(STATE_MS),
  });
  await reply.text();
  const load = reply.headers.get("x-ol-load") ?? "";
  const warm = reply.headers.get("x-ol-warm") ?? "";
  if ((load !== "") !== wanted || (warm !== "") !== wanted)
    throw benchError("OL_BENCH_WRONG_REPLY", `X-OL-Load: ${load}, X-OL-Warm: ${warm}`);
};

const startAll = async (site: BenchSite, python: string, cleanup: CleanupStack): Promise<Contender[]> => {
  const silent = ["--import", fileURLToPath(new URL("unreported.js", import.meta.url))];
  const kinds = [
    { name: WITHOUT, asked: false, nodeArgs: silent, settings: {} },
    { name: WITH, asked: true, nodeArgs: [], settings: { trusted_proxies: ["127.0.0.1"] } },
    { name: CONTROL, asked: false, nodeArgs: silent, settings: {} },
  ];
  const contenders: Contender[] = [];
  for (const [at, { name, asked, ...options }] of kinds.entries()) {
    const worker = await startWorker({ site, name: `worker-${at}`, python, memoryMb: MEMORY_MB, ...options });
    cleanup.add(async () => worker[Symbol.asyncDispose]());
    await worker.call(LAMBDA);
    await checkReport(worker, asked);
    contenders.push({ name, worker, asked, cpuUs: [] });
  }
  return contenders;
};

/**
 * What reporting its load costs a worker, in CPU time for each call of a warm lambda: the headers of each reply, and its state once a second,
 * against a worker that sends an empty header and is asked nothing. A second one of the latter shows how much of a difference means nothing.
 */
export const runReport = async (options: ReportOptions): Promise<Results> => {
  const { rounds, progress } = options;
  const notes = describeLoad();
  const python = await realPython();
  const cleanup = new CleanupStack();
  try {
    const site = await makeSite();
    cleanup.add(async () => site[Symbol.asyncDispose]());
    await site.addLambda(LAMBDA);
    const contenders = await startAll(site, python, cleanup);
    for (let round = 0; round < rounds; round += 1)
      for (let turn = 0; turn < contenders.length; turn += 1) {
        // Who is first changes with every round.
        const contender = contenders[(round + turn) % contenders.length] as Contender;
        progress(`round ${round + 1} of ${rounds}: ${contender.name}`);
        await measure(contender, options);
      }
    const [without, withReport, control] = contenders as [Contender, Contender, Contender];
    const row = ({ name, cpuUs }: Contender): Row => ({
      name: `${name}: CPU a call`,
      unit: "us",
      values: summarize(cpuUs),
      ratios: cpuUs === without.cpuUs ? {} : { [WITHOUT]: pairedRatios(cpuUs, without.cpuUs) },
    });
    const ratio = pairedRatios(withReport.cpuUs, without.cpuUs).median;
    const noise = pairedRatios(control.cpuUs, without.cpuUs).median;
    return {
      machine: describeMachine(python),
      rows: contenders.map(row),
      aims: [atMost("CPU a call with the load report / without", ratio, MOST_OF_UNREPORTED)],
      notes: [
        ...notes,
        `two workers without it differ by a factor of ${noise.toFixed(3)}: less means nothing`,
      ],
    };
  } finally {
    await cleanup.run();
  }
};
