import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, it, onTestFinished } from "vitest";

import { plotPlay, readTrace, runPlay } from "../../src/index.ts";

const PLAN = {
  seed: 1,
  functions: undefined,
  fromMs: 0,
  lengthMs: Number.POSITIVE_INFINITY,
  scale: 1,
  speed: 1,
  rate: undefined,
  runMs: 5,
  mostRunMs: 1_000,
  progress: () => undefined,
} as const;

const OWN = { kind: "worker", memoryMb: 512, settings: {}, busy: 0.5 } as const;

const makeDirectory = async (): Promise<string> => {
  const directory = await mkdtemp(join(tmpdir(), "ol-play-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  return directory;
};

it("a trace is played to a worker of its own, and what that records can be played again", async () => {
  const directory = await makeDirectory();
  const calls = Array.from({ length: 30 }, (_, at) => `app,f${at % 3},${(at * 0.03).toFixed(3)},0.01`);
  await writeFile(join(directory, "trace.csv"), ["app,func,end_timestamp,duration", ...calls].join("\n"));
  const recorded = join(directory, "recorded.jsonl");
  const results = await runPlay({
    ...PLAN,
    trace: await readTrace(join(directory, "trace.csv"), "auto"),
    loop: { kind: "open", mostInFlight: 100 },
    where: { ...OWN, settings: { trace: recorded } },
  });
  const valueOf = (what: string): number | undefined =>
    results.rows.find(({ labels }) => labels?.["what"] === what)?.values.median;
  expect([valueOf("due"), valueOf("answered"), valueOf("failed")]).toEqual([30, 30, 0]);
  expect(valueOf("cold starts")).toBeGreaterThanOrEqual(3);
  // A call runs for 10 ms, half of it on the CPU.
  expect(valueOf("from when it was due")).toBeGreaterThan(10);
  expect(results.seconds.reduce((sum, second) => sum + second.calls, 0)).toBe(30);
  expect(plotPlay(results)).toContain("by the second in which it was due");

  expect((await readFile(recorded, "utf8")).trim().split("\n")).toHaveLength(30);
  const again = await runPlay({
    ...PLAN,
    trace: await readTrace(recorded, "auto"),
    loop: { kind: "closed", clients: 2 },
    where: OWN,
  });
  expect(again.rows.find(({ labels }) => labels?.["what"] === "answered")?.values.median).toBe(30);
});
