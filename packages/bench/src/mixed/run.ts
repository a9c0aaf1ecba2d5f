import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { CleanupStack } from "@ol/common";
import { type FitRecord, fitTree, LEAST_BUDGET_MB, LEAST_NODE_MB } from "@ol/lambda";

import { benchError } from "../errors.ts";
import { describeLoad, describeMachine } from "../machine.ts";
import { realPython } from "../python.ts";
import { type Aim, atMost } from "../results.ts";
import { summarize } from "../statistics.ts";
import { type BenchSite, type BenchWorker, helloWith, makeSite, startWorker } from "../worker.ts";
import { loadZygoteData } from "../zygotes/data.ts";
import { addLambdaOfAll, INSTALL_MS, installFor } from "./install.ts";
import { readStarts, type TracedStart } from "./starts.ts";
import {
  DEFAULT_MIXED,
  generateMixed,
  loadImportLines,
  type MixedOptions,
  type MixedWorkload,
} from "./workload.ts";

export interface MixedRunOptions extends MixedOptions {
  /** Calls a second to each worker, if they are answered that quickly. */
  readonly perSec: number;
  /** Zygotes get memory for so large a share of what one for each lambda would hold. */
  readonly memoryShare: number;
  /** Where packages are kept for the next run; default: nowhere. */
  readonly directory?: string | undefined;
  /** Told what begins. */
  readonly progress: (what: string) => void;
}

export const DEFAULT_MIXED_RUN: Omit<MixedRunOptions, "seed" | "progress"> = {
  ...DEFAULT_MIXED,
  perSec: 3,
  memoryShare: 0.2,
};

/** How one worker did. */
export interface MixedFigures {
  readonly policy: string;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Mean of the first round, in which `auto` learns; all other figures are of the second. */
  readonly learningMs: number;
  /** Means of the quarters of the second round, one after the other. */
  readonly quartersMs: readonly number[];
  /** Mean time from the request to the end of its reply. */
  readonly meanHttpMs: number;
  readonly hits: number;
  readonly partial: number;
  readonly misses: number;
  readonly built: number;
  readonly failed: number;
  readonly zygotesMb: number;
}

export interface MixedResults {
  readonly machine: Readonly<Record<string, string | number>>;
  readonly seed: number;
  readonly lambdas: number;
  /** To each worker, in each of the two rounds. */
  readonly calls: number;
  readonly budgetMb: number;
  /** Calls a second that each worker got in fact. */
  readonly perSec: number;
  readonly figures: readonly MixedFigures[];
  readonly aims: readonly Aim[];
  readonly notes: readonly string[];
}

const PREPARING_MB = 4_096;
/** Starts of each lambda from which a tree is fitted; the first of all installs and is not among them. */
const LEARNT_STARTS = 2;
/** Calls of a lambda without packages before the clock starts: a new worker's first calls find cold code in it. */
const WARMUP_CALLS = 20;
const WARMUP = "warm-up";
/** scikit-learn, and what it needs, takes more than a lambda's 50 MB. */
const SETTINGS = { limits: { mem_mb: 256 } };
/** A worker gives zygotes a tenth of its memory. */
const POOL_PER_BUDGET = 10;
const QUARTERS = 4;
/** The workload is played twice: once to learn from, once to be measured. */
const ROUNDS = 2;
const MOST_AUTO_OF_OFF = 0.33;
const MOST_AUTO_OF_TREE = 1.25;

const addLambdas = async (site: BenchSite, { lambdas }: MixedWorkload): Promise<void> => {
  const config = "reuse-sandbox: false\n";
  await site.addLambda(WARMUP, { "f.py": helloWith([]), "ol.yaml": config });
  await addLambdaOfAll(site, lambdas);
  for (const { name, pins, imports } of lambdas)
    await site.addLambda(name, {
      "f.py": helloWith(imports),
      "ol.yaml": config,
      "packages.txt": `${pins.join("\n")}\n`,
    });
};

/** A worker goes on with a trace that is there, and with what it knew of zygotes: nothing of an earlier run may be left. */
const emptyTrace = async (site: BenchSite, worker: string): Promise<string> => {
  const trace = join(site.directory, `${worker}.jsonl`);
  for (const left of [trace, join(site.directory, worker)]) await rm(left, { recursive: true, force: true });
  return trace;
};

/** Has every package installed and compiled, and returns what each lambda imports, a few times, by its name. */
const prepare = async (
  site: BenchSite,
  python: string,
  { lambdas }: MixedWorkload,
  progress: (what: string) => void,
): Promise<ReadonlyMap<string, FitRecord[]>> => {
  const trace = await emptyTrace(site, "preparing");
  const worker = await startWorker({
    site,
    name: "preparing",
    python,
    memoryMb: PREPARING_MB,
    settings: { ...SETTINGS, import_cache: "off", trace, install_wait_ms: INSTALL_MS },
  });
  try {
    await installFor(site, worker, lambdas, progress);
    progress("learning what each lambda imports");
    for (let round = 0; round < LEARNT_STARTS; round += 1)
      for (const { name } of lambdas) await worker.call(name);
  } finally {
    await worker[Symbol.asyncDispose]();
  }
  const byLambda = new Map<string, FitRecord[]>(lambdas.map(({ name }) => [name, []]));
  for (const { lambda, fit } of await readStarts(trace, new Set(byLambda.keys())))
    byLambda.get(lambda)?.push(fit);
  return new Map([...byLambda].map(([name, records]) => [name, records.slice(-LEARNT_STARTS)]));
};

/** What a zygote that imported all of this would hold. */
const memoryOf = (records: readonly FitRecord[]): number => {
  let mb = 0;
  for (const { costs } of records) for (const cost of costs.values()) mb += cost.mb;
  return LEAST_NODE_MB + mb / records.length;
};

/** A worker that takes part, and how long its calls took. */
interface Contender {
  readonly policy: string;
  readonly trace: string;
  readonly worker: BenchWorker;
  readonly httpMs: number[];
}

/** Calls the workers in turns once for each call of the workload, so that what the machine does besides hits all alike; who is first changes with every call. */
const play = async (
  { lambdas, calls }: MixedWorkload,
  contenders: readonly Contender[],
  perSec: number,
): Promise<number> => {
  const begunMs = performance.now();
  for (const [place, index] of calls.entries()) {
    const earlyMs = begunMs + (place * 1_000) / perSec - performance.now();
    if (earlyMs > 0) await sleep(earlyMs);
    for (let turn = 0; turn < contenders.length; turn += 1) {
      const { worker, httpMs } = contenders[(place + turn) % contenders.length] as Contender;
      httpMs.push(await worker.call((lambdas[index] as { name: string }).name));
    }
  }
  return calls.length / ((performance.now() - begunMs) / 1_000);
};

/** Of `/stats`, what is shown here. */
interface WorkerStats {
  readonly zygotes: {
    readonly uses: { readonly hit: number; readonly partial: number; readonly miss: number };
    readonly trees: readonly { readonly built: number; readonly failed: number; readonly usedMb: number }[];
  };
}

const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

const quartersOf = (values: readonly number[]): number[] => {
  const length = Math.ceil(values.length / QUARTERS);
  return Array.from({ length: QUARTERS }, (_, quarter) =>
    meanOf(values.slice(quarter * length, (quarter + 1) * length)),
  );
};

const figuresOf = (
  { policy, httpMs }: Contender,
  { zygotes: learning }: WorkerStats,
  { zygotes }: WorkerStats,
  starts: readonly TracedStart[],
): MixedFigures => {
  if (starts.length !== httpMs.length)
    throw benchError(
      "OL_BENCH_WRONG_REPLY",
      `${policy}: the trace has ${starts.length} starts of ${httpMs.length} calls`,
    );
  const allMs = starts.map(({ startMs }) => startMs);
  const startsMs = allMs.slice(allMs.length / ROUNDS);
  const { median, p99 } = summarize(startsMs);
  const sum = (of: (tree: WorkerStats["zygotes"]["trees"][number]) => number): number =>
    zygotes.trees.reduce((total, tree) => total + of(tree), 0);
  return {
    policy,
    meanMs: meanOf(startsMs),
    p50Ms: median,
    p99Ms: p99,
    learningMs: meanOf(allMs.slice(0, allMs.length / ROUNDS)),
    quartersMs: quartersOf(startsMs),
    meanHttpMs: meanOf(httpMs.slice(httpMs.length / ROUNDS)),
    hits: zygotes.uses.hit - learning.uses.hit,
    partial: zygotes.uses.partial - learning.uses.partial,
    misses: zygotes.uses.miss - learning.uses.miss,
    built: sum(({ built }) => built),
    failed: sum(({ failed }) => failed),
    zygotesMb: sum(({ usedMb }) => usedMb),
  };
};

const compare = async (
  site: BenchSite,
  python: string,
  workload: MixedWorkload,
  memoryMb: number,
  tree: unknown,
  { perSec, progress }: Pick<MixedRunOptions, "perSec" | "progress">,
): Promise<{ figures: MixedFigures[]; perSec: number }> => {
  const cleanup = new CleanupStack();
  const contenders: Contender[] = [];
  const statsOf = async (): Promise<WorkerStats[]> =>
    Promise.all(contenders.map(async ({ worker }) => (await worker.stats()) as WorkerStats));
  let learning: WorkerStats[];
  let stats: WorkerStats[];
  let rate: number;
  try {
    const settings = { off: {}, auto: {}, tree: { import_cache_tree: tree } };
    for (const [policy, more] of Object.entries(settings)) {
      const trace = await emptyTrace(site, policy);
      const worker = await startWorker({
        site,
        name: policy,
        python,
        memoryMb,
        settings: { ...SETTINGS, import_cache: policy, trace, ...more },
      });
      cleanup.add(async () => worker[Symbol.asyncDispose]());
      contenders.push({ policy, trace, worker, httpMs: [] });
    }
    for (const { worker } of contenders)
      for (let call = 0; call < WARMUP_CALLS; call += 1) await worker.call(WARMUP);
    progress(`${workload.calls.length} calls to each of three workers, from which they learn`);
    await play(workload, contenders, perSec);
    learning = await statsOf();
    progress("the same calls once more");
    rate = await play(workload, contenders, perSec);
    stats = await statsOf();
  } finally {
    // What they have traced is all written then.
    await cleanup.run();
  }
  const names = new Set(workload.lambdas.map(({ name }) => name));
  const figures: MixedFigures[] = [];
  for (const [place, contender] of contenders.entries())
    figures.push(
      figuresOf(
        contender,
        learning[place] as WorkerStats,
        stats[place] as WorkerStats,
        await readStarts(contender.trace, names),
      ),
    );
  return { figures, perSec: rate };
};

const aimsOf = (figures: readonly MixedFigures[]): Aim[] => {
  const mean = (wanted: string): number =>
    figures.find(({ policy }) => policy === wanted)?.meanMs ?? Number.NaN;
  return [
    atMost("mean start, auto / off", mean("auto") / mean("off"), MOST_AUTO_OF_OFF),
    atMost("mean start, auto / fitted tree", mean("auto") / mean("tree"), MOST_AUTO_OF_TREE),
  ];
};

/**
 * Plays the mixed workload to three real workers, without zygotes (`off`), with those that grow (`auto`) and with a tree that
 * was fitted to the very calls (`tree`), each beginning with nothing: once, from which `auto` learns, and then once more, which
 * is measured. Every call is a cold start. Installs packages from the index first.
 */
export const runMixed = async (options: MixedRunOptions): Promise<MixedResults> => {
  const { seed, memoryShare, directory, progress } = options;
  const workload = generateMixed(await loadZygoteData(), await loadImportLines(), options);
  const { lambdas, calls } = workload;
  const notes = describeLoad();
  const python = await realPython();
  const site = await makeSite(directory);
  try {
    await addLambdas(site, workload);
    progress(`seed ${seed}: installing the packages of ${lambdas.length} lambdas`);
    const records = await prepare(site, python, workload, progress);
    const recordsOf = (index: number): readonly FitRecord[] =>
      records.get((lambdas[index] as { name: string }).name) ?? [];
    const allMb = lambdas.reduce((sum, _lambda, index) => sum + memoryOf(recordsOf(index)), 0);
    const budgetMb = Math.max(LEAST_BUDGET_MB, Math.round(allMb * memoryShare));
    progress(`fitting a tree of ${budgetMb} MB`);
    const asCalled = calls.flatMap((index) => recordsOf(index));
    const { tree } = fitTree(asCalled, { memoryMb: budgetMb });
    const result = await compare(site, python, workload, budgetMb * POOL_PER_BUDGET, tree, options);
    return {
      machine: describeMachine(python),
      seed,
      lambdas: lambdas.length,
      calls: calls.length,
      budgetMb,
      ...result,
      aims: aimsOf(result.figures),
      notes,
    };
  } finally {
    await site[Symbol.asyncDispose]();
  }
};
