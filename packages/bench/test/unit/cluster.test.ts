import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it, onTestFinished } from "vitest";

import {
  aimsOf,
  type CallSource,
  DEFAULT_COSTS,
  drawnCalls,
  type Figures,
  figuresOf,
  meanFigures,
  memoryFor,
  type NextCall,
  type Outcome,
  plotBars,
  type PolicyResult,
  readRecordedCalls,
  type RecordedCalls,
  recordedCalls,
  type Simulate,
  simulatePolicies,
  simulateWorkers,
  loadZygoteData,
  generateMixed,
  loadImportLines,
} from "../../src/index.ts";

const take = (source: CallSource, count: number): NextCall[] =>
  Array.from({ length: count }, () => source.next());

const meanGap = (calls: readonly NextCall[]): number =>
  calls.reduce((sum, { gap }) => sum + gap, 0) / calls.length;

describe("drawn calls", () => {
  it("are the same for the same seed, and others for another", () => {
    expect(take(drawnCalls(60, 1, 7), 100)).toEqual(take(drawnCalls(60, 1, 7), 100));
    expect(take(drawnCalls(60, 1, 7), 100)).not.toEqual(take(drawnCalls(60, 1, 8), 100));
  });

  it("are of the n-th lambda n^-skew as often as of the first, with 1 between two on average", () => {
    const calls = take(drawnCalls(60, 1, 1), 60_000);
    const count = (place: number): number => calls.filter(({ lambda }) => lambda === place).length;
    expect(count(0) / count(1)).toBeCloseTo(2, 0);
    expect(count(0) / count(9)).toBeGreaterThan(8);
    expect(count(0) / count(9)).toBeLessThan(12);
    expect(meanGap(calls)).toBeCloseTo(1, 1);
    const evenly = take(drawnCalls(4, 0, 1), 4_000).filter(({ lambda }) => lambda === 3);
    expect(evenly.length / 4_000).toBeCloseTo(0.25, 1);
  });
});

const recorded = async (text: string): Promise<RecordedCalls> => {
  const directory = await mkdtemp(join(tmpdir(), "ol-recorded-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, "trace.jsonl"), text);
  return readRecordedCalls(join(directory, "trace.jsonl"));
};

const gaps = async (text: string): Promise<number[]> =>
  take(recordedCalls(await recorded(text), 0), 3).map(({ gap }) => gap);

const line = (name: string, atMs: number): string =>
  JSON.stringify({ function: name, req: atMs, cold: false });

describe("recorded calls", () => {
  const trace = [line("seldom", 100), line("often", 130), line("often", 110), "", line("rare", 160)].join(
    "\n",
  );

  it("are in the order in which they came, whoever wrote them down first; the lambda called most is the first", async () => {
    expect(await recorded(trace)).toEqual({
      lambdas: 3,
      calls: [
        { lambda: 2, atMs: 0 },
        { lambda: 0, atMs: 10 },
        { lambda: 0, atMs: 30 },
        { lambda: 1, atMs: 60 },
      ],
    });
  });

  it("are played with the gaps that they had, again and again", async () => {
    const calls = take(recordedCalls(await recorded(trace), 0), 8);
    expect(calls.map(({ lambda }) => lambda)).toEqual([2, 0, 0, 1, 2, 0, 0, 1]);
    expect(calls.map(({ gap }) => gap)).toEqual([1, 0.5, 1, 1.5, 1, 0.5, 1, 1.5]);
    expect(take(recordedCalls(await recorded(trace), 5), 1)[0]?.lambda).toBe(0);
  });

  it("all at one moment, or one alone, come evenly", async () => {
    expect(await gaps(line("one", 5))).toEqual([1, 1, 1]);
    expect(await gaps(`${line("one", 5)}\n${line("two", 5)}`)).toEqual([1, 1, 1]);
  });

  it.each([
    ["", "no calls"],
    ["{", "line 1: this is no JSON object"],
    ["null", "line 1: this is no JSON object"],
    ['{"req":1}', "line 1: neither `function` nor `name` is a name"],
    ['{"function":"one"}', "have no time"],
    [`${line("one", 1)}\n{"function":"two"}`, "line 2: some lines have `req` and some have not"],
  ])("that are none are refused with the reason: %j", async (text, reason) => {
    await expect(recorded(text)).rejects.toThrow(reason);
  });
});

const outcome = (dueMs: number, endMs: number, status = 200, cold = false): Outcome => ({
  dueMs,
  endMs,
  status,
  cold,
  queueMs: cold ? 4 : 0,
});

describe("the figures of a run", () => {
  const outcomes = [
    outcome(0, 900),
    outcome(500, 1_500),
    outcome(1_000, 1_010, 200, true),
    outcome(1_100, 1_120),
    outcome(1_200, 1_201, 503),
    outcome(1_300, 1_301, 429),
    { ...outcome(1_400, 1_401, 0), problem: "read ECONNRESET" },
    outcome(2_500, 9_500),
    outcome(3_000, 3_010),
  ];
  const window = { fromMs: 1_000, toMs: 3_000 };

  it("count what ended in the measured time, where clients wait for it", () => {
    expect(figuresOf(outcomes, window, "end", 3)).toEqual({
      perSec: 1.5,
      p50Ms: 20,
      p99Ms: expect.closeTo(980.4) as number,
      p99QueueMs: expect.closeTo(3.92) as number,
      meanQueueMs: expect.closeTo(4 / 3) as number,
      coldShare: 1 / 3,
      importShare: 1,
      refusedShare: 2 / 6,
      failedShare: 1 / 6,
      failures: { "read ECONNRESET": 1 },
    });
  });

  it("count what was due in the measured time, and how late it was, where calls come whatever happens", () => {
    const { perSec, p50Ms, p99Ms } = figuresOf(outcomes, window, "due", 0);
    expect(perSec).toBe(1.5);
    expect(p50Ms).toBe(20);
    // The slowest had not ended when the measured time was over.
    expect(p99Ms).toBeGreaterThan(6_000);
  });

  it("say of a run without an answer that nothing is known of its times", () => {
    const none = figuresOf([outcome(1_500, 1_600, 0)], window, "due", 0);
    expect(none).toMatchObject({ perSec: 0, p99Ms: Number.NaN, coldShare: 0, failedShare: 1 });
    expect(none.failures).toEqual({ "status 0": 1 });
  });

  it("of several runs are their means, and the sum of their failures", () => {
    const one = figuresOf(outcomes, window, "end", 3);
    const failures = { "read ECONNRESET": 2 };
    expect(meanFigures([one, { ...one, perSec: 4.5 }])).toEqual({ ...one, perSec: 3, failures });
  });
});

const figures = (perSec: number, p99Ms: number): Figures => ({
  perSec,
  p50Ms: 1,
  p99Ms,
  p99QueueMs: 0,
  meanQueueMs: 0,
  coldShare: 0,
  importShare: 0,
  refusedShare: 0,
  failedShare: 0,
  failures: {},
});

const row = (policy: string, ...seeds: (readonly [number, number])[]): PolicyResult => ({
  policy,
  seeds: seeds.map(([perSec, p99Ms]) => ({
    saturated: figures(perSec, 1),
    half: figures(1, p99Ms),
    simulated: undefined,
  })),
});

describe("the aims of the cluster", () => {
  it("are reached only if every seed reaches them", () => {
    const robin = row("RoundRobin", [100, 900], [100, 900]);
    const reached = (lard: PolicyResult): boolean[] => aimsOf([robin, lard]).map((aim) => aim.reached);
    expect(reached(row("LARD", [200, 300], [400, 10]))).toEqual([true, true]);
    expect(reached(row("LARD", [199, 300], [400, 10]))).toEqual([false, true]);
    expect(reached(row("LARD", [200, 301], [400, 10]))).toEqual([true, false]);
  });

  it("are missed if nothing was answered, and are none without both policies", () => {
    const aims = aimsOf([row("RoundRobin", [0, Number.NaN]), row("LARD", [0, Number.NaN])]);
    expect(aims.map(({ reached }) => reached)).toEqual([false, false]);
    expect(aimsOf([row("LARD", [1, 1])])).toEqual([]);
  });
});

describe("the plot", () => {
  const bars = [
    { label: "RoundRobin", value: 10, expected: 20 },
    { label: "LARD & <co>", value: 40 },
    { label: "none", value: Number.NaN, expected: Number.NaN },
  ];
  const svg = plotBars('"quoted"', [{ title: "throughput", unit: "1/s", bars }]);
  const widths = (pattern: RegExp): number[] => [...svg.matchAll(pattern)].map((match) => Number(match[1]));

  it("has bars as long as their values, and what was expected as an outline", () => {
    const [robin, lard, none] = widths(/width="([\d.]+)" height="16" fill="#/gu) as [number, number, number];
    expect(lard).toBeCloseTo(4 * robin, 0);
    expect(none).toBe(0);
    expect(widths(/width="([\d.]+)" height="16" fill="none"/gu)).toEqual([2 * robin]);
  });

  it("shows labels as text whatever is in them", () => {
    expect(svg).toContain(">LARD &amp; &lt;co&gt;<");
    expect(svg).toContain("&quot;quoted&quot;");
    expect(svg).not.toContain("NaN");
  });
});

describe("a worker's memory", () => {
  it("holds the sandboxes that are wanted, or one more than slots, and zygotes in a tenth of it", () => {
    const size = { slots: 4, sandboxMb: 256 };
    expect(memoryFor(20, size)).toEqual({ memoryMb: 5_689, sandboxes: 20, zygotesMb: 569 });
    expect(memoryFor(1, size).sandboxes).toBe(5);
    // A worker gives zygotes no less than that.
    expect(memoryFor(1, { slots: 1, sandboxMb: 64 })).toEqual({
      memoryMb: 256,
      sandboxes: 2,
      zygotesMb: 128,
    });
  });
});

const oneByOne: Simulate = async (runs) => {
  const results = [];
  for (const run of runs) results.push(await simulateWorkers(run));
  return results;
};

describe("the workload in virtual time", { timeout: 120_000 }, () => {
  it("is played to each policy with the lambdas' own packages, and gives the same figures each time", async () => {
    const data = await loadZygoteData();
    const { lambdas } = generateMixed(data, await loadImportLines(), {
      seed: 1,
      lambdas: 60,
      calls: 0,
      skew: 1,
    });
    const cluster = {
      lambdas,
      seed: 1,
      workers: 4,
      slots: 4,
      ...memoryFor(20, { slots: 4, sandboxMb: 256 }),
      sandboxMb: 256,
      cores: 4,
      costs: DEFAULT_COSTS,
      packages: data.costs,
      skew: 1,
      runMs: 20,
      clients: 64,
      warmupMs: 2_000,
      measureMs: 1_000,
    };
    const [robin, lard] = await simulatePolicies(["RoundRobin", "LARD"], cluster, oneByOne);
    expect(lard?.saturated.coldShare).toBeLessThan((robin?.saturated.coldShare ?? 0) / 2);
    expect(lard?.saturated.perSec).toBeGreaterThan(1.5 * (robin?.saturated.perSec ?? Number.NaN));
    // It is the best of the two, so half of its load is the same without the other.
    expect(await simulatePolicies(["LARD"], cluster, oneByOne)).toEqual([lard]);
  });
});
