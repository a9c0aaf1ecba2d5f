import { CleanupStack } from "@ol/common";

import type { Outcome } from "../calls/http-call.ts";
import { type Figures, figuresOf } from "../cluster/outcome.ts";
import { Random } from "../zygotes/random.ts";
import { type CallPattern, countedBy, playPattern, sourceOf } from "./call-pattern.ts";
import type { Costs } from "./costs.ts";
import type { PackageCosts, VirtualLambda } from "./lambdas.ts";
import { Machine } from "./machine.ts";
import { PackageIndex } from "./package-index.ts";
import { OneThread } from "./shared-cpu.ts";
import { type VirtualBalancerOptions, VirtualCluster } from "./virtual-cluster.ts";
import { VirtualTime } from "./virtual-time.ts";
import { statusOf, type VirtualReply, VirtualWorker, type VirtualWorkerOptions } from "./virtual-worker.ts";

/** One run in virtual time. Plain data, if the worker's options are. */
export interface VirtualRunOptions {
  readonly seed: number;
  /** Of the one machine that everything runs on; Infinity: nothing slows anything else. */
  readonly cores: number;
  readonly costs: Costs;
  /** In the order of their popularity. */
  readonly lambdas: readonly VirtualLambda[];
  readonly packages: PackageCosts;
  readonly worker: VirtualWorkerOptions;
  /** So many such workers behind a balancer; default: one, without. */
  readonly cluster?: VirtualBalancerOptions & { readonly workers: number };
  readonly calls: CallPattern;
  readonly warmupMs: number;
  readonly measureMs: number;
}

/** What came of it. All but `created` and `evicted` is of the measured time. */
export interface VirtualRun extends Figures {
  /** Of the CPU time that there was, what was used; 0 for a machine without limit. */
  readonly cpuShare: number;
  /** Sandboxes that were made, and those of them that went because their memory was needed. */
  readonly created: number;
  readonly evicted: number;
}

/** Everybody has his reply by then, or it never comes. */
const LAST_MS = 120_000;

/** Workers, with what is in front of them. */
class Site {
  readonly #machine: Machine;
  readonly #client: OneThread;
  readonly #names: readonly string[];
  readonly #call: (name: string) => Promise<VirtualReply>;
  readonly workers: readonly VirtualWorker[];

  constructor(
    machine: Machine,
    names: readonly string[],
    workers: readonly VirtualWorker[],
    call: (name: string) => Promise<VirtualReply>,
  ) {
    this.#machine = machine;
    this.#client = new OneThread(machine.cpu);
    this.#names = names;
    this.workers = workers;
    this.#call = call;
  }

  /** One call, as who makes it sees it. */
  async call(lambda: number, dueMs: number): Promise<Outcome> {
    await this.#client.run(this.#machine.costs.clientMs);
    const reply = await this.#call(this.#names[lambda] as string);
    const { queueMs = 0, memoryMs = 0, forkMs = 0, importMs = 0 } = reply.phases ?? {};
    return {
      dueMs,
      endMs: performance.now(),
      status: statusOf(reply),
      cold: forkMs + importMs > 0,
      queueMs: queueMs + memoryMs,
    };
  }

  get imports(): number {
    return this.workers.reduce((sum, { imports }) => sum + imports, 0);
  }

  count(what: "created" | "evicted"): number {
    return this.workers.reduce((sum, { pool }) => sum + pool[what], 0);
  }
}

const makeSite = async (
  machine: Machine,
  { seed, lambdas, packages, worker: options, cluster }: VirtualRunOptions,
  cleanup: CleanupStack,
): Promise<Site> => {
  const random = new Random(seed);
  const index = new PackageIndex(lambdas, packages);
  const workers: VirtualWorker[] = [];
  for (let at = 0; at < (cluster?.workers ?? 1); at += 1) {
    const worker = await VirtualWorker.create(machine, lambdas, index, random, options);
    cleanup.add(() => worker[Symbol.asyncDispose]());
    workers.push(worker);
  }
  const names = lambdas.map(({ name }) => name);
  if (cluster === undefined)
    return new Site(machine, names, workers, (name) => (workers[0] as VirtualWorker).call(name));
  const balancer = new VirtualCluster(machine, workers, options.slots, cluster);
  cleanup.add(() => balancer[Symbol.asyncDispose]());
  return new Site(machine, names, workers, (name) => balancer.call(name));
};

/** Plays the calls, and ends everything. */
const playAll = async (machine: Machine, options: VirtualRunOptions): Promise<VirtualRun> => {
  const { seed, cores, calls, lambdas, warmupMs, measureMs } = options;
  const cleanup = new CleanupStack();
  try {
    const site = await makeSite(machine, options, cleanup);
    let [imports, cpuMs] = [0, 0];
    const { outcomes, window } = await playPattern(
      calls,
      (lambda, dueMs) => site.call(lambda, dueMs),
      sourceOf(calls.draw, lambdas.length, seed),
      {
        warmupMs,
        measureMs,
        began: async () => void ([imports, cpuMs] = [site.imports, machine.cpu.usedMs]),
        ended: async () => void ([imports, cpuMs] = [site.imports - imports, machine.cpu.usedMs - cpuMs]),
      },
    );
    return {
      ...figuresOf(outcomes, window, countedBy(calls), imports),
      cpuShare: cpuMs / (cores * measureMs),
      created: site.count("created"),
      evicted: site.count("evicted"),
    };
  } finally {
    await cleanup.run();
  }
};

/**
 * One run in virtual time, on this thread, which does nothing else meanwhile. The same options give the same result on every machine.
 */
export const simulateWorkers = async (options: VirtualRunOptions): Promise<VirtualRun> => {
  using time = new VirtualTime();
  const machine = new Machine(time, options.cores, options.costs);
  const result = playAll(machine, options);
  const endMs = options.warmupMs + options.measureMs + LAST_MS;
  if (!(await time.run(result, endMs))) throw new Error(`it is not over after ${endMs} ms`);
  return result;
};
