import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { afterEach, beforeEach, expect, it } from "vitest";

import { silentLogger } from "@ol/common";

import { SandboxPool, SockEngine } from "../../src/index.ts";
import { CONFORMANCE_HANDLERS_DIR, CONFORMANCE_PACKAGES_DIR } from "../../src/testing/index.ts";

const LIMITS = { memoryMb: 50, swappiness: 0, procs: 10, cpuPercent: 100, logMb: 1, scratchMb: 10 };
const MOST = 4;
// What a burst took is replaced a tenth of a second later.
const SETTLE_MS = 300;

let directory: string;
let engine: SockEngine;
let pool: SandboxPool;
let logged: string[];

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "ol-demand-"));
  logged = [];
  engine = await SockEngine.create({
    clusterId: `dem${Math.random().toString(36).slice(2, 10).padEnd(8, "0")}`,
    workerName: "worker-0",
    workDir: path.join(directory, "work"),
    codeDir: CONFORMANCE_HANDLERS_DIR,
    packagesDir: CONFORMANCE_PACKAGES_DIR,
    networks: ["none"],
    mostPrepared: MOST,
    logger: { ...silentLogger, warn: (message) => void logged.push(message) },
  });
  pool = SandboxPool.create({ engine, memoryMb: 2_000 });
});

afterEach(async () => {
  await pool.close();
  await engine.close();
  await rm(directory, { recursive: true });
});

const burst = async (size: number, zygote?: string): Promise<void> => {
  const spec = { name: "echo", code: "echo", network: "none", environment: {}, limits: LIMITS } as const;
  const wanted = Array.from({ length: size }, () => pool.acquire({ ...spec, ...(zygote && { zygote }) }));
  await Promise.all((await Promise.all(wanted)).map((sandbox) => sandbox.destroy()));
};

/** How many are ready soon after a burst. One that a busy machine drew out is none, and is to be tried again. */
const preparedAfter = async (size: number): Promise<number> => {
  await burst(size);
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  return engine.stats().prepared;
};

it("has as many processes ready as the last burst took, and fewer again when it is forgotten", async () => {
  await expect.poll(() => engine.stats().prepared, { timeout: 5_000 }).toBe(1);
  await expect.poll(() => preparedAfter(3), { timeout: 20_000 }).toBe(3);
  expect(engine.stats().preparedMb).toBeGreaterThan(0.1);
  await expect.poll(() => preparedAfter(3 * MOST), { timeout: 20_000 }).toBe(MOST);
  // A burst is remembered for five seconds.
  await expect.poll(() => engine.stats().prepared, { timeout: 15_000, interval: 250 }).toBe(1);
}, 70_000);

it("has one process ready at each zygote, and none when the zygote is gone", async () => {
  await expect.poll(() => engine.stats().prepared, { timeout: 5_000 }).toBe(1);
  const zygote = await pool.createZygote("one", {
    network: "none",
    packages: ["conformance"],
    modules: ["ol_conformance"],
    limits: LIMITS,
  });
  await expect.poll(() => engine.stats().prepared, { timeout: 5_000 }).toBe(2);
  await burst(1, "one");
  await expect.poll(() => engine.stats().prepared, { timeout: 5_000 }).toBe(2);
  await zygote.kill();
  await expect.poll(() => engine.stats().prepared, { timeout: 5_000 }).toBe(1);
});

it("warns of nothing when a zygote is ended on purpose, whatever of it is being made ready", async () => {
  await expect.poll(() => engine.stats().prepared, { timeout: 5_000 }).toBe(1);
  for (let round = 0; round < 12; round += 1) {
    const id = `brief-${round}`;
    const zygote = await pool.createZygote(id, {
      network: "none",
      packages: ["conformance"],
      modules: ["ol_conformance"],
      limits: LIMITS,
    });
    // The first process is asked for some milliseconds later.
    await new Promise((resolve) => setTimeout(resolve, round));
    await zygote.kill();
  }
  expect(logged).toEqual(engine.enforcement.notes);
}, 40_000);
