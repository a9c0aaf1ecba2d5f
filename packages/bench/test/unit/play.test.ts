import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it, onTestFinished } from "vitest";

import {
  type PlanOptions,
  planCalls,
  readTrace,
  SyntheticTrace,
  type Trace,
  type TraceFormat,
  urlTarget,
} from "../../src/index.ts";

const fileWith = async (content: string | Buffer): Promise<string> => {
  const directory = await mkdtemp(join(tmpdir(), "ol-play-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const path = join(directory, "trace");
  await writeFile(path, content);
  return path;
};

const read = async (
  content: string | Buffer,
  format: TraceFormat = "auto",
  durations?: string,
): Promise<Trace> =>
  readTrace(await fileWith(content), format, durations === undefined ? undefined : await fileWith(durations));

const ALL: PlanOptions = {
  seed: 1,
  functions: undefined,
  fromMs: 0,
  lengthMs: Number.POSITIVE_INFINITY,
  scale: 1,
  speed: 1,
  rate: undefined,
  runMs: 10,
  mostRunMs: 10_000,
};

const named = ({ functions }: { functions: readonly string[] }, place: number): string =>
  functions[place] as string;

const AZURE_2021 = "app,func,end_timestamp,duration\na1,f1,10.5,0.5\na1,f2,11,2\r\na2,f1,20,0\n";
const MINUTES = Array.from({ length: 1_440 }, (_, at) => at + 1);

/** A line of invocations: so many in the minutes that are named. */
const invocations = (name: string, counts: Readonly<Record<number, number>>): string =>
  ["owner", "app", name, "http", ...MINUTES.map((minute) => counts[minute] ?? 0)].join(",");

const AZURE_2019 = [
  `HashOwner,HashApp,HashFunction,Trigger,${MINUTES.join(",")}`,
  invocations("f1", { 1: 3, 2: 5 }),
  invocations("f2", { 1_440: 2 }),
].join("\n");

const DURATIONS = [
  "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,percentile_Average_50,percentile_Average_100",
  "owner,app,f1,20,8,10,40,10,20,40",
].join("\n");

describe("a trace", () => {
  it("may be one name on each line, which says only in which order they are called", async () => {
    const trace = await read("one\r\ntwo\n\n  one \nthree");
    expect(trace.timed).toBe(false);
    const { functions, calls } = planCalls(trace, ALL);
    expect(calls.map(({ function: place }) => functions[place])).toEqual(["one", "two", "one", "three"]);
  });

  it("may be Azure's of 2021: a call's beginning is its end less its duration, and a function is one of its app", async () => {
    const trace = await read(AZURE_2021);
    const { functions, calls } = planCalls(trace, ALL);
    expect(functions).toEqual(["f1", "f2", "f1"]);
    expect(calls).toEqual([
      { function: 1, dueMs: 0, runMs: 2_000 },
      { function: 0, dueMs: 1_000, runMs: 500 },
      { function: 2, dueMs: 11_000, runMs: 0 },
    ]);
  });

  it("may be Azure's of 2019: as many calls in each minute as it says, for as long as the durations say", async () => {
    const trace = await read(AZURE_2019, "auto", DURATIONS);
    const { functions, calls } = planCalls(trace, ALL);
    const inMinute = (name: string, minute: number): number =>
      calls.filter(
        ({ function: place, dueMs }) =>
          functions[place] === name && Math.floor(dueMs / 60_000) === minute - 1,
      ).length;
    expect([inMinute("f1", 1), inMinute("f1", 2), inMinute("f2", 1_440), calls.length]).toEqual([
      3, 5, 2, 10,
    ]);
    const runs = (name: string): number[] =>
      calls.filter((call) => functions[call.function] === name).map(({ runMs }) => runMs);
    expect(runs("f2")).toEqual([ALL.runMs, ALL.runMs]);
    expect(Math.min(...runs("f1"))).toBeGreaterThanOrEqual(10);
    expect(Math.max(...runs("f1"))).toBeLessThanOrEqual(40);
  });

  it("may be a worker's own, or have ReqBench's names without times", async () => {
    const own = await read(
      [
        { function: "b", req: 2_000, start_execute: 2_100, end_execute: 2_150, cold: true },
        { function: "a", req: 1_000, start_execute: 0, end_execute: 0, cold: false },
      ]
        .map((line) => JSON.stringify(line))
        .join("\n"),
    );
    const plan = planCalls(own, ALL);
    expect(plan.calls.map((call) => [named(plan, call.function), call.dueMs, call.runMs])).toEqual([
      ["a", 0, 10],
      ["b", 1_000, 50],
    ]);
    const reqBench = await read('{"name":"fn0"}\n{"name":"fn1"}\n{"name":"fn0"}\n');
    expect([reqBench.timed, reqBench.functions]).toEqual([false, ["fn0", "fn1"]]);
  });

  it("may begin with a byte order mark", async () => {
    expect((await read(`\uFEFF${AZURE_2021}`)).functions).toHaveLength(3);
    expect((await read("\uFEFFone\n")).functions).toEqual(["one"]);
  });

  it.each([
    ["nothing", "", "auto", "the trace has no calls"],
    ["only empty lines", "\n\r\n  \n", "names", "the trace has no calls"],
    [
      "bytes that are no text",
      Buffer.from([0x6f, 0x6b, 0x0a, 0xff, 0xfe, 0x0a]),
      "names",
      "line 2: these bytes are no UTF-8",
    ],
    ["a name with a NUL in it", "ok\nfoo\0bar\n", "names", "line 2: this is no function's name"],
    ["a line without an end", "x".repeat(1_100_000), "names", "line 1: it is longer than"],
    ["another file with commas", "a,b\n1,2\n", "auto", "say what it is with --format"],
    [
      "a header that lacks a column",
      "app,func,duration\n",
      "azure2021",
      "line 1: there is no column end_timestamp",
    ],
    [
      "a row with too few cells",
      `${AZURE_2021}a,b,1\n`,
      "azure2021",
      "line 5: it has 3 cells, and the header 4",
    ],
    ["a time that is none", `${AZURE_2021}a,b,soon,1\n`, "azure2021", 'line 5: end_timestamp is "soon"'],
    ["an empty time", `${AZURE_2021}a,b,,1\n`, "azure2021", 'line 5: end_timestamp is ""'],
    ["a negative duration", `${AZURE_2021}a,b,1,-1\n`, "azure2021", "which is no number from 0 on"],
    ["half a call", AZURE_2019.replace("http,3", "http,3.5"), "azure2019", "line 2: 1 is no whole number"],
    [
      "minutes without a name",
      "HashOwner,HashApp,HashFunction\n",
      "azure2019",
      "there is no column of a minute",
    ],
    ["JSON that is no object", '{"name":"a"}\n[1]\n', "json", "line 2: this is no JSON object"],
    ["half an object", '{"name":"a"', "json", "line 1: this is no JSON object"],
    ["a name that is none", '{"name":7}', "json", "line 1: neither `function` nor `name`"],
    ["a time that is text", '{"name":"a","req":"1"}', "json", "line 1: `req` is no time"],
  ] as const)("is refused with the place and the reason: %s", async (_what, content, format, reason) => {
    await expect(read(content, format)).rejects.toMatchObject({
      code: "OL_BENCH_USAGE",
      message: expect.stringContaining(reason) as unknown,
    });
  });

  it("that is not there is refused with the reason", async () => {
    await expect(readTrace("/nonexistent/trace", "names")).rejects.toThrow("ENOENT");
    await expect(read(AZURE_2021, "azure2021", DURATIONS)).rejects.toThrow(
      "only for a trace of the form azure2019",
    );
  });
});

describe("a URL that is played to", () => {
  it("has the trace's names below its path, or below /run, whatever is in them", () => {
    const names = ["hello", "a/b?c%"];
    const plain = urlTarget("http://127.0.0.1:8080", names, "{}");
    expect([plain.host, plain.port, plain.path(0), plain.path(1)]).toEqual([
      "127.0.0.1",
      8_080,
      "/run/hello",
      "/run/a%2Fb%3Fc%25",
    ]);
    const deep = urlTarget("http://[::1]/front/runLambda/", names, "{}");
    expect([deep.host, deep.port, deep.path(0)]).toEqual(["::1", 80, "/front/runLambda/hello"]);
    for (const wrong of ["https://127.0.0.1", "127.0.0.1:8080", ""])
      expect(() => urlTarget(wrong, names, "{}")).toThrow("--url must begin with http://");
  });
});

describe("what is played of a trace", () => {
  it("is the same for the same seed, and another for another", async () => {
    const trace = await read(AZURE_2019, "auto", DURATIONS);
    expect(planCalls(trace, ALL)).toEqual(planCalls(trace, ALL));
    expect(planCalls(trace, ALL)).not.toEqual(planCalls(trace, { ...ALL, seed: 2 }));
  });

  it("is a part of its time, which passes as quickly as is wished", async () => {
    const trace = await read(AZURE_2021);
    const { functions, calls } = planCalls(trace, { ...ALL, fromMs: 1_000, lengthMs: 10_000, speed: 2 });
    expect(functions).toEqual(["f1"]);
    expect(calls).toEqual([{ function: 0, dueMs: 0, runMs: 500 }]);
    expect(planCalls(trace, { ...ALL, speed: 4 }).calls.at(-1)?.dueMs).toBe(2_750);
  });

  it("has so many calls for each, also if that is no whole number", async () => {
    const trace = await read("name\n".repeat(10_000));
    expect(planCalls(trace, { ...ALL, scale: 3 }).calls).toHaveLength(30_000);
    const tenth = planCalls(trace, { ...ALL, scale: 0.1 }).calls.length;
    expect(tenth).toBeGreaterThan(850);
    expect(tenth).toBeLessThan(1_150);
    expect(planCalls(await read(AZURE_2019), { ...ALL, scale: 10 }).calls).toHaveLength(100);
  });

  it("is of so many functions by chance, with all their calls", async () => {
    const names = Array.from({ length: 100 }, (_, at) => `f${at % 10}`).join("\n");
    const trace = await read(names);
    const chosen = new Set<string>();
    for (let seed = 1; seed <= 40; seed += 1) {
      const { functions, calls } = planCalls(trace, { ...ALL, functions: 3, seed });
      expect([functions.length, calls.length]).toEqual([3, 30]);
      for (const name of functions) chosen.add(name);
    }
    expect(chosen.size).toBe(10);
    expect(planCalls(trace, { ...ALL, functions: 1_000 }).functions).toHaveLength(10);
  });

  it("comes at a rate of one's own, whatever times the trace has", async () => {
    const { calls, timed } = planCalls(await read("name\n".repeat(5_000)), { ...ALL, rate: 100 });
    expect(timed).toBe(true);
    expect((calls.at(-1)?.dueMs ?? 0) / 5_000).toBeCloseTo(10, 0);
  });

  it("may be calls that nobody recorded: drawn by the seed, at a rate, the n-th function n^-skew as often as the first", () => {
    const trace = new SyntheticTrace({ functions: 10, skew: 1, rate: 50, lengthMs: 100_000 });
    const { functions, calls } = planCalls(trace, ALL);
    expect(functions).toHaveLength(10);
    expect(calls.length / 5_000).toBeCloseTo(1, 1);
    const count = (place: number): number => calls.filter((call) => call.function === place).length;
    expect(count(0) / count(1)).toBeGreaterThan(1.8);
    expect(count(0) / count(1)).toBeLessThan(2.2);
    expect(planCalls(trace, ALL)).toEqual(planCalls(trace, ALL));
    expect(planCalls(trace, { ...ALL, fromMs: 50_000 }).calls.length / 2_500).toBeCloseTo(1, 0);
  });

  it("runs for no longer than is allowed, and says how many calls that cut", async () => {
    const { calls, cut } = planCalls(await read(AZURE_2021), { ...ALL, mostRunMs: 600 });
    expect([cut, calls.map(({ runMs }) => runMs)]).toEqual([1, [600, 500, 0]]);
  });

  it("is refused where it is nothing, and where it is too much", async () => {
    const trace = await read(AZURE_2019);
    expect(() => planCalls(trace, { ...ALL, fromMs: 1e9 })).toThrow(
      "no call of the trace is in what was chosen",
    );
    expect(() => planCalls(trace, { ...ALL, scale: 1e6 })).toThrow("more than 5000000 calls would be played");
  });
});
