import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { afterEach, beforeEach, expect, it } from "vitest";

import { parseSteps, SandboxPool, SockEngine, type StepEnd, type StepReport } from "../../src/index.ts";

const LIMITS = { memoryMb: 50, swappiness: 0, procs: 10, cpuPercent: 100, logMb: 1, scratchMb: 10 };

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "ol-steps-"));
  await mkdir(path.join(directory, "code", "hello"), { recursive: true });
  await writeFile(path.join(directory, "code", "hello", "f.py"), "def f(event):\n    return 1\n");
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

/** The events of a sandbox up to `ready`, and when it was asked for and ready. */
const startWith = async (
  steps: boolean,
): Promise<{ reports: readonly (StepReport | undefined)[]; askedNs: bigint; readyNs: bigint }> => {
  const engine = await SockEngine.create({
    clusterId: `stp${Math.random().toString(36).slice(2, 10).padEnd(8, "0")}`,
    workerName: "worker",
    workDir: path.join(directory, "work"),
    codeDir: path.join(directory, "code"),
    networks: ["none"],
    prepared: 0,
    steps,
  });
  try {
    const pool = SandboxPool.create({ engine, memoryMb: 200 });
    const reports: (StepReport | undefined)[] = [];
    pool.on("guest", (_sandbox, name, body) => {
      if (name === "steps") reports.push(parseSteps(body));
    });
    try {
      const askedNs = process.hrtime.bigint();
      const spec = {
        name: "hello",
        code: "hello",
        network: "none",
        environment: {},
        limits: LIMITS,
      } as const;
      const sandbox = await pool.acquire(spec);
      await sandbox.ready;
      return { reports, askedNs, readyNs: process.hrtime.bigint() };
    } finally {
      await pool.close();
    }
  } finally {
    await engine.close();
  }
};

const isRising = (ends: readonly StepEnd[]): boolean =>
  ends.every(({ atNs }, at) => at === 0 || atNs >= (ends[at - 1] as StepEnd).atNs);

it("tells when each step of making a sandbox was over, on one clock with who asked for it", async () => {
  const { reports, askedNs, readyNs } = await startWith(true);
  expect(reports).toHaveLength(1);
  const { broker, leaf } = reports[0] as StepReport;
  expect(broker.map(({ step }) => step)).toEqual(expect.arrayContaining(["asked", "leaf", "place"]));
  expect(leaf.map(({ step }) => step)).toEqual([
    "asked",
    "pid-namespace",
    "fork",
    "cgroup",
    "namespaces",
    "loopback",
    "mounts",
    "fresh",
    "rehearsal",
    "assignment",
    "attach",
    "confine",
    "settle",
    "accept",
    "hello",
    "code",
  ]);
  expect(isRising(broker) && isRising(leaf)).toBe(true);
  expect(broker[0]?.atNs).toBeGreaterThan(askedNs);
  expect(leaf[0]?.atNs).toBeGreaterThan(broker[0]?.atNs as bigint);
  expect(leaf.at(-1)?.atNs).toBeLessThan(readyNs);
});

it("tells nothing of its steps unasked", async () => {
  expect((await startWith(false)).reports).toEqual([]);
});
