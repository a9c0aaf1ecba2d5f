import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import * as fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";

import { formatTrace, parseTraceStart, type TraceRecord, TraceWriter } from "../../src/index.ts";
import { packageSet, pin } from "../zygote-keeper.ts";

const set = packageSet("numpy pandas", { pandas: "numpy" });
const warm: TraceRecord = {
  invocationId: "01J",
  function: "f",
  set,
  atMs: 1000,
  queueMs: 5,
  runMs: 20,
  sandbox: "s1",
};
const cold: TraceRecord = {
  ...warm,
  memoryMb: 2,
  cold: {
    memoryMs: 1,
    forkMs: 2,
    importMs: 30,
    node: "z3",
    costs: new Map([[pin("pandas"), { ms: 28, mb: 25 }]]),
  },
};

const temporaryPath = (): string => {
  const directory = mkdtempSync(join(tmpdir(), "ol-trace-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return join(directory, "trace.jsonl");
};

describe("a line of a trace", () => {
  it("has ReqBench's names for what ReqBench records", () => {
    expect(JSON.parse(formatTrace(cold))).toEqual({
      invoke_id: "01J",
      function: "f",
      cold: true,
      req: 1000,
      queue_ms: 5,
      memory_ms: 1,
      start_create: 1006,
      end_create: 1008,
      start_import: 1008,
      end_import: 1038,
      start_execute: 1038,
      end_execute: 1058,
      split_gen: "z3",
      zygote_miss: 0,
      sb_id: "s1",
      mem: 2_097_152,
      pins: [pin("numpy"), pin("pandas")],
      requires: { [pin("pandas")]: [pin("numpy")] },
      costs: { [pin("pandas")]: [28, 25] },
    });
    expect(JSON.parse(formatTrace(warm))).toMatchObject({
      cold: false,
      start_create: 0,
      start_execute: 1005,
      end_execute: 1025,
      split_gen: -1,
      zygote_miss: 0,
      mem: null,
    });
  });

  it("counts as a miss if the sandbox declared packages and was forked from the root", () => {
    const miss = { ...cold, cold: { ...(cold.cold as NonNullable<typeof cold.cold>), node: undefined } };
    expect(JSON.parse(formatTrace(miss))).toMatchObject({ split_gen: -1, zygote_miss: 1 });
    expect(JSON.parse(formatTrace({ ...miss, set: packageSet("") }))).toMatchObject({ zygote_miss: 0 });
  });

  it("tells who fits a tree what the start imported", () => {
    expect(parseTraceStart(formatTrace(cold))).toEqual({
      set: { key: set.key, pins: set.pins, requires: new Map([[pin("pandas"), [pin("numpy")]]]) },
      costs: new Map([[pin("pandas"), { ms: 28, mb: 25 }]]),
    });
    expect(parseTraceStart(formatTrace(warm))).toBeUndefined();
  });

  it.each([
    ["", "no JSON"],
    ['{"cold":', "no JSON"],
    ["[]", "no JSON object"],
    ["{}", "`pins`"],
    ['{"pins":["numpy"],"cold":true}', "`pins`"],
    ['{"pins":[],"cold":1}', "`cold`"],
    ['{"pins":[],"cold":true}', "`requires`"],
    ['{"pins":[],"cold":true,"requires":{"a":[1]}}', "`requires`"],
    ['{"pins":[],"cold":true,"requires":{},"costs":{"a":[1,-2]}}', "`costs`"],
    [" ".repeat(2_000_000), "longer"],
  ])("that is none says what is wrong with it (%#)", (line, what) => {
    expect(parseTraceStart(line)).toContain(what);
  });

  it("may be anything: what it says is a start, nothing, or what is wrong with it", () => {
    fc.assert(
      fc.property(fc.json(), (line) => {
        expect(["string", "undefined", "object"]).toContain(typeof parseTraceStart(line));
      }),
      { numRuns: 500 },
    );
  });
});

describe("a trace's writer", () => {
  it("appends one line each, and has written all of them when it is closed", async () => {
    const path = temporaryPath();
    for (let time = 0; time < 2; time += 1) {
      const writer = new TraceWriter({ path });
      for (let count = 0; count < 500; count += 1) writer.write(cold);
      await writer.close();
    }
    expect(readFileSync(path, "utf8")).toBe(`${formatTrace(cold)}\n`.repeat(1000));
  });

  it("drops and counts what the disk does not take in time, and makes nobody wait", async () => {
    const path = temporaryPath();
    const writer = new TraceWriter({ path });
    // Nothing is written before this turn is over.
    const large = { ...cold, function: "f".repeat(100_000) };
    for (let count = 0; count < 100; count += 1) writer.write(large);
    expect(writer.written).toBeGreaterThan(30);
    expect(writer.dropped).toBe(100 - writer.written);
    await writer.close();
    expect(readFileSync(path, "utf8").split("\n").length - 1).toBe(writer.written);
    writer.write(cold);
    expect(writer.dropped).toBe(101 - writer.written);
    await writer.close();
  });

  it("tells once that a file cannot be written to, and costs nobody anything", async () => {
    const told: string[] = [];
    const tell = (message: string): unknown => told.push(message);
    const logger = { debug: tell, info: tell, warn: tell, error: tell };
    const writer = new TraceWriter({ path: join(temporaryPath(), "below-no-directory"), logger });
    writer.write(cold);
    await writer.close();
    writer.write(cold);
    expect(writer.dropped).toBe(1);
    expect(told).toEqual(["the trace cannot be written, and ends"]);
  });
});
