import { VirtualClock } from "@ol/balancer";
import { describe, expect, it } from "vitest";

import { OneThread, SharedCpu } from "../../src/index.ts";
import { Random } from "../../src/zygotes/random.ts";

/** A clock without promises: those of jobs settle when the test lets them. */
class Bench {
  readonly #clock = new VirtualClock();
  readonly cpu: SharedCpu;

  constructor(cores: number, efficiency?: number) {
    this.cpu = new SharedCpu(this, { cores, ...(efficiency !== undefined && { efficiency }) });
  }

  get nowMs(): number {
    return this.#clock.nowMs();
  }

  after(ms: number, callback: () => void): () => void {
    return this.#clock.after(ms, callback);
  }

  /** Until nothing is left to be done. */
  async run(): Promise<void> {
    for (let goesOn = true; goesOn;) {
      // What has settled may ask for more.
      for (let turn = 0; turn < 8; turn += 1) await Promise.resolve();
      goesOn = this.#clock.step();
    }
  }
}

/** When each of these jobs, which begin at once, is done. */
const ends = async (bench: Bench, jobs: readonly number[]): Promise<number[]> => {
  const times: number[] = [];
  const all = jobs.map((ms, at) => bench.cpu.run(ms).then(() => (times[at] = bench.nowMs)));
  await bench.run();
  await Promise.all(all);
  return times;
};

/** Jobs come as they like (Poisson), until so many came; the mean time from coming to going, for each kind. */
const meanTimes = async (
  options: { readonly everyMs: number; readonly jobs: number; readonly sizes: readonly (() => number)[] },
  serve: (bench: Bench) => (ms: number) => Promise<void>,
): Promise<number[]> => {
  const bench = new Bench(1);
  const run = serve(bench);
  const random = new Random(11);
  const sums = options.sizes.map(() => ({ ms: 0, count: 0 }));
  const serveOne = async (kind: number): Promise<void> => {
    const sinceMs = bench.nowMs;
    await run(options.sizes[kind]?.() ?? 0);
    const sum = sums[kind];
    if (sum === undefined) return;
    sum.ms += bench.nowMs - sinceMs;
    sum.count += 1;
  };
  let left = options.jobs;
  const arrive = (): void => {
    const kind = random.below(sums.length);
    void serveOne(kind);
    left -= 1;
    if (left > 0) bench.after(random.exponential(options.everyMs), arrive);
  };
  bench.after(0, arrive);
  await bench.run();
  expect(sums.reduce((sum, { count }) => sum + count, 0)).toBe(options.jobs);
  return sums.map(({ ms, count }) => ms / count);
};

describe("the CPU that jobs share", () => {
  it("gives each job a core, or the same share of all if there are more jobs", async () => {
    expect(await ends(new Bench(2), [10, 10])).toEqual([10, 10]);
    expect(await ends(new Bench(1), [10, 10])).toEqual([20, 20]);
    // 6 ms of a third each, then 2 ms of a half, then alone.
    expect(await ends(new Bench(1), [2, 3, 10])).toEqual([6, 8, 15]);
    expect(await ends(new Bench(Number.POSITIVE_INFINITY), [1, 2, 3])).toEqual([1, 2, 3]);
  });

  it("has less of the second core where that is no whole one", async () => {
    expect(await ends(new Bench(2, 0.5), [10])).toEqual([10]);
    expect((await ends(new Bench(2, 0.5), [15, 15]))[0]).toBeCloseTo(20, 9);
  });

  it("gives back the share of who needs no more, and says how much was used", async () => {
    const bench = new Bench(1);
    const gone = new AbortController();
    const times: number[] = [];
    void bench.cpu.run(100, gone.signal).then(() => times.push(bench.nowMs));
    void bench.cpu.run(10).then(() => times.push(bench.nowMs));
    bench.after(10, () => gone.abort());
    await bench.run();
    expect(times).toEqual([10, 15]);
    expect(bench.cpu.usedMs).toBeCloseTo(15, 9);
    expect(bench.cpu.jobs).toBe(0);
  });

  it("takes as long as the formula for M/G/1-PS, x / (1 - load), whatever else there is to be done", async () => {
    const random = new Random(3);
    const sizes = [() => 2, () => 20, () => random.exponential(8)];
    // 10 ms of work on average, of which 1.5 times as much would be time: a load of two thirds.
    const times = await meanTimes(
      { everyMs: 15, jobs: 60_000, sizes },
      ({ cpu }) =>
        (ms) =>
          cpu.run(ms),
    );
    for (const [kind, ms] of [2, 20, 8].entries()) {
      expect(times[kind]).toBeGreaterThan(3 * ms * 0.94);
      expect(times[kind]).toBeLessThan(3 * ms * 1.06);
    }
  });
});

describe("a process of one thread", () => {
  it("does one job after the other, beside those of others", async () => {
    const bench = new Bench(2);
    const thread = new OneThread(bench.cpu);
    const times: number[] = [];
    for (const ms of [5, 10, 0]) void thread.run(ms).then(() => times.push(bench.nowMs));
    void bench.cpu.run(12).then(() => times.push(bench.nowMs));
    await bench.run();
    expect(times).toEqual([5, 12, 15, 15]);
    expect(thread.jobs).toBe(0);
  });

  it("takes as long as the formula for M/G/1, of Pollaczek and Khinchine", async () => {
    const random = new Random(5);
    const options = { everyMs: 15, jobs: 60_000, sizes: [() => random.exponential(10)] };
    const [ms = 0] = await meanTimes(options, ({ cpu }) => {
      const thread = new OneThread(cpu);
      return (work) => thread.run(work);
    });
    // 10 ms, and before that load / (1 - load) times as long: two thirds of the time it is busy.
    expect(ms).toBeGreaterThan(30 * 0.9);
    expect(ms).toBeLessThan(30 * 1.1);
  });
});
