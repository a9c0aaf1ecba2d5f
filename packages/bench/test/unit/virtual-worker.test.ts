import { NoZygotes, type PackageSet, type ZygotePolicy } from "@ol/lambda";
import { describe, expect, it } from "vitest";

import {
  type CallPattern,
  DEFAULT_COSTS,
  loadZygoteData,
  Machine,
  PackageIndex,
  simulateWorkers,
  type VirtualLambda,
  type VirtualReply,
  type VirtualRunOptions,
  VirtualTime,
  VirtualWorker,
  type VirtualWorkerOptions,
} from "../../src/index.ts";
import { Random } from "../../src/zygotes/random.ts";

const data = await loadZygoteData();

/** Each is some seconds of work at most; a machine that does much else takes longer. */
const PATIENCE_MS = 120_000;

/** Nothing but what a lambda does takes time. */
const FREE = {
  clientMs: 0,
  balancerMs: 0,
  workerMs: 0,
  guestMs: 0,
  lateMs: 0,
  forkMs: 0,
  restockMs: 0,
  loadMs: 0,
  importFactor: 1,
  destroyMs: 0,
  destroyMsPerMb: 0,
  zygoteMs: 0,
  guestMb: 8,
  efficiency: 1,
};

const lambda = (name: string, more: Partial<VirtualLambda> = {}): VirtualLambda => ({
  name,
  waitMs: 20,
  cpuMs: 0,
  spread: "fixed",
  loadMs: 0,
  pins: [],
  ...more,
});

const many = (count: number, more: Partial<VirtualLambda> = {}): VirtualLambda[] =>
  Array.from({ length: count }, (_, at) => lambda(`f${at}`, more));

const CLOSED: CallPattern = { kind: "closed", clients: 12, draw: { by: "popularity", skew: 1 } };

const RUN: VirtualRunOptions = {
  seed: 1,
  cores: 2,
  costs: DEFAULT_COSTS,
  lambdas: many(12, { pins: ["numpy==2.4.6"] }),
  packages: data.costs,
  worker: { slots: 4, memoryMb: 500, sandboxMb: 50 },
  calls: CLOSED,
  warmupMs: 1_000,
  measureMs: 2_000,
};

describe("a worker in virtual time", { timeout: PATIENCE_MS }, () => {
  it("gives the same figures for the same seed, and others for another", async () => {
    const one = await simulateWorkers(RUN);
    expect(one.perSec).toBeGreaterThan(10);
    expect(await simulateWorkers(RUN)).toEqual(one);
    expect(await simulateWorkers({ ...RUN, seed: 2 })).not.toEqual(one);
  });

  it("makes calls wait as long as Erlang's formula for M/M/c says", async () => {
    const slots = 4;
    const busy = lambda("busy", { spread: "exponential", minInstances: slots, maxInstances: slots });
    const runMs = 20;
    const offered = 3;
    const run = await simulateWorkers({
      ...RUN,
      costs: FREE,
      cores: Number.POSITIVE_INFINITY,
      lambdas: [busy],
      worker: { slots, memoryMb: 1_000, sandboxMb: 50 },
      calls: { kind: "open", perSec: (1_000 * offered) / runMs, draw: { by: "popularity", skew: 1 } },
      warmupMs: 2_000,
      measureMs: 40_000,
    });
    // Of 3 erlang on 4 servers half of the calls wait (0.509), 20 ms on average.
    const waits = erlangC(slots, offered);
    const meanWaitMs = (waits * runMs) / (slots - offered);
    expect(run.refusedShare).toBe(0);
    expect(run.perSec).toBeGreaterThan(150 * 0.96);
    expect(run.perSec).toBeLessThan(150 * 1.04);
    expect(run.meanQueueMs).toBeGreaterThan(meanWaitMs * 0.85);
    expect(run.meanQueueMs).toBeLessThan(meanWaitMs * 1.15);
    // Those that wait do so exponentially: P(W > t) = C exp(-(c - a) t / s).
    const p99Ms = (Math.log(waits / 0.01) * runMs) / (slots - offered);
    expect(run.p99QueueMs).toBeGreaterThan(p99Ms * 0.85);
    expect(run.p99QueueMs).toBeLessThan(p99Ms * 1.15);
  });

  it("answers each call exactly once, and has as many in it as Little's law says", async () => {
    const answers = await playByHand();
    const asked = answers.length;
    expect(asked).toBe(3_000);
    expect(answers.every(({ replies }) => replies === 1)).toBe(true);
    const refused = answers.filter(({ status }) => status !== 200).length;
    expect(refused).toBe(0);
    const meanMs = answers.reduce((sum, { ms }) => sum + ms, 0) / asked;
    const { samples, spanMs } = answers.seen;
    const inside = samples.reduce((sum, count) => sum + count, 0) / samples.length;
    expect(inside).toBeGreaterThan(1);
    expect(inside).toBeCloseTo((asked / spanMs) * meanMs, 0);
    expect(inside / ((asked / spanMs) * meanMs)).toBeCloseTo(1, 1);
  });

  it("imports, forks from zygotes and evicts as memory says: less memory, more cold starts", async () => {
    const wide = { ...RUN, lambdas: lambdasWithPackages(30), warmupMs: 4_000, measureMs: 4_000 };
    const poor = await simulateWorkers({ ...wide, worker: { slots: 4, memoryMb: 2_000, sandboxMb: 100 } });
    const rich = await simulateWorkers({ ...wide, worker: { slots: 4, memoryMb: 8_000, sandboxMb: 100 } });
    expect(poor.evicted).toBeGreaterThan(20);
    expect(rich.evicted).toBe(0);
    expect(rich.coldShare).toBeLessThan(poor.coldShare / 4);
    expect(rich.perSec).toBeGreaterThan(1.3 * poor.perSec);
    const off = { slots: 4, memoryMb: 2_000, sandboxMb: 100, zygotes: "off" } as const;
    const without = await simulateWorkers({ ...wide, worker: off });
    expect(poor.importShare).toBeLessThan(without.importShare / 4);
    expect(poor.perSec).toBeGreaterThan(without.perSec);
  });

  it("is slower where imports share two cores than where each has one of its own", async () => {
    const wide = { ...RUN, lambdas: lambdasWithPackages(30), measureMs: 4_000 };
    const shared = await simulateWorkers(wide);
    const alone = await simulateWorkers({ ...wide, cores: 64 });
    expect(shared.cpuShare).toBeGreaterThan(0.7);
    expect(shared.cpuShare).toBeLessThanOrEqual(1);
    expect(alone.perSec).toBeGreaterThan(1.3 * shared.perSec);
  });

  it("evicts what the policy that it is given says, and nothing else", async () => {
    const worker = { slots: 4, memoryMb: 200, sandboxMb: 50, pauseLingerMs: 0 };
    const poor = { ...RUN, worker, measureMs: 1_000 };
    const missing: number[] = [];
    const eviction: VirtualWorkerOptions["eviction"] = ({ missingMb }) => {
      missing.push(missingMb);
      return [];
    };
    const none = await simulateWorkers({ ...poor, worker: { ...poor.worker, eviction } });
    expect(missing.length).toBeGreaterThan(0);
    expect(none.evicted).toBe(0);
    // Four sandboxes that nobody takes away are four lambdas; the others' calls are refused in the end.
    expect(none.created).toBe(4);
    const usual = await simulateWorkers(poor);
    expect(usual.evicted).toBeGreaterThan(10);
  });
});

describe("a policy of one's own in virtual time", { timeout: PATIENCE_MS }, () => {
  it("is asked where each sandbox with packages is forked from, and hears how it went", async () => {
    const chosen: string[][] = [];
    const imported: number[] = [];
    const off = new NoZygotes();
    const watching: ZygotePolicy = Object.assign(new NoZygotes(), {
      choose: ({ pins }: PackageSet) => void chosen.push([...pins]),
      started: (start: Parameters<ZygotePolicy["started"]>[0]) => {
        imported.push(start.costs?.size ?? 0);
        return off.started(start);
      },
    });
    const worker = { ...RUN.worker, zygotes: () => watching };
    const run = await simulateWorkers({ ...RUN, worker });
    expect(chosen.length).toBeGreaterThanOrEqual(run.created);
    expect(new Set(chosen.flat())).toEqual(new Set([expect.stringMatching(/^numpy==2\.4\.6\+/u)]));
    expect(imported).toContain(1);
  });
});

describe("workers in virtual time behind a balancer", { timeout: PATIENCE_MS }, () => {
  it("have fewer cold starts where calls go to where their packages are", async () => {
    const cluster = {
      ...RUN,
      lambdas: lambdasWithPackages(30),
      worker: { slots: 4, memoryMb: 1_200, sandboxMb: 100 },
      calls: { ...CLOSED, clients: 32 },
      measureMs: 5_000,
    } as const;
    const robin = await simulateWorkers({ ...cluster, cluster: { workers: 3, policy: "RoundRobin" } });
    const lard = await simulateWorkers({ ...cluster, cluster: { workers: 3, policy: "LARD" } });
    expect(lard.coldShare).toBeLessThan(robin.coldShare);
    expect(lard.perSec).toBeGreaterThan(1.2 * robin.perSec);
    expect(robin.failedShare + lard.failedShare).toBe(0);
  });
});

/** Of calls that find c servers with an offered load of a erlang, those that wait. */
const erlangC = (servers: number, offered: number): number => {
  let blocked = 1;
  for (let n = 1; n <= servers; n += 1) blocked = (offered * blocked) / (n + offered * blocked);
  return blocked / (1 - (offered / servers) * (1 - blocked));
};

/** Each with one of ten packages of different cost, and what it needs. */
const lambdasWithPackages = (count: number): VirtualLambda[] => {
  const names = ["pandas", "scikit-learn", "flask", "boto3", "scipy", "numpy"];
  const pinOf = new Map(data.measured.map((pin) => [pin.slice(0, pin.indexOf("==")), pin]));
  return Array.from({ length: count }, (_, at) => {
    const wanted = [names[at % names.length] ?? ""];
    const pins = new Set<string>();
    for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
      pins.add(pinOf.get(name) as string);
      wanted.push(...(data.costs.get(name)?.requires ?? []));
    }
    return lambda(`f${at}`, { pins: [...pins] });
  });
};

interface Answer {
  replies: number;
  status: number;
  ms: number;
}

/** 3,000 calls at moments of their own, some of whose sandboxes have to be evicted; how many were in the worker every 7 ms. */
const playByHand = async (): Promise<
  Answer[] & { readonly seen: { readonly samples: number[]; readonly spanMs: number } }
> => {
  using time = new VirtualTime();
  const machine = new Machine(time, 2, DEFAULT_COSTS);
  const lambdas = many(8, { spread: "exponential" });
  const random = new Random(9);
  const worker = await VirtualWorker.create(machine, lambdas, new PackageIndex(lambdas, new Map()), random, {
    slots: 4,
    memoryMb: 300,
    sandboxMb: 50,
  });
  const answers: Answer[] = [];
  const samples: number[] = [];
  const seen = { samples, spanMs: 0 };
  const call = async (answer: Answer): Promise<void> => {
    const sinceMs = performance.now();
    const reply: VirtualReply = await worker.call(random.pick(lambdas).name);
    answer.replies += 1;
    answer.status = reply.error === undefined ? 200 : 500;
    answer.ms = performance.now() - sinceMs;
  };
  const play = async (): Promise<void> => {
    const sampler = setInterval(() => {
      const { busy, queue } = worker.load();
      samples.push(busy + queue);
    }, 7);
    const calls: Promise<void>[] = [];
    for (let asked = 0; asked < 3_000; asked += 1) {
      await time.sleep(random.exponential(10));
      const answer = { replies: 0, status: 0, ms: 0 };
      answers.push(answer);
      calls.push(call(answer));
    }
    await Promise.all(calls);
    seen.spanMs = performance.now();
    clearInterval(sampler);
    await worker[Symbol.asyncDispose]();
  };
  expect(await time.run(play(), 1_000_000)).toBe(true);
  return Object.assign(answers, { seen });
};
