import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { type Sandbox, SandboxPool, SockEngine } from "../../src/index.ts";
import { CONFORMANCE_HANDLERS_DIR, CONFORMANCE_PACKAGES_DIR } from "../../src/testing/index.ts";
import { scaled } from "../support/scale.ts";

// OpenLambda's own test of that name: sandboxes that are made, paused, resumed and destroyed without a pause.

const LIMITS = { memoryMb: 50, swappiness: 0, procs: 10, cpuPercent: 100, logMb: 1, scratchMb: 10 };
const ROUNDS = scaled(30, 3_000);
const PAUSED = 32;
const ZYGOTE = "churn";
/** What the kernel keeps of a process, its page tables above all, counts to whoever forked it. */
const ZYGOTE_LIMITS = { ...LIMITS, memoryMb: 200 };

let directory: string;
let engine: SockEngine;
let pool: SandboxPool;

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "ol-churn-"));
  engine = await SockEngine.create({
    clusterId: `chu${Math.random().toString(36).slice(2, 10).padEnd(8, "0")}`,
    workerName: "worker-0",
    workDir: path.join(directory, "work"),
    codeDir: CONFORMANCE_HANDLERS_DIR,
    packagesDir: CONFORMANCE_PACKAGES_DIR,
    networks: ["none"],
  });
  pool = SandboxPool.create({ engine, memoryMb: 5_000 });
  await pool.createZygote(ZYGOTE, {
    network: "none",
    packages: ["conformance"],
    modules: ["ol_conformance"],
    limits: ZYGOTE_LIMITS,
  });
});

afterAll(async () => {
  await pool.close();
  await engine.close();
  await rm(directory, { recursive: true });
});

const make = (zygote: string | undefined): Promise<Sandbox> => {
  const spec = { name: "echo", code: "echo", network: "none", environment: {}, limits: LIMITS } as const;
  return pool.acquire({ ...spec, ...(zygote !== undefined && { zygote, packages: ["conformance"] }) });
};

const echo = async (sandbox: Sandbox, text: string): Promise<string> => {
  const call = { invocationId: "churn", body: Buffer.from(JSON.stringify(text)), timeoutMs: 20_000 };
  return JSON.parse((await sandbox.call(call)).body.toString()) as string;
};

/** A sandbox's whole life, with a pause in it. */
const live = async (zygote: string | undefined, text: string): Promise<void> => {
  const sandbox = await make(zygote);
  await sandbox.ready;
  expect(await sandbox.pause()).toBe(true);
  await sandbox.resume();
  expect(await echo(sandbox, text)).toBe(text);
  await sandbox.destroy();
};

describe.each([
  { paused: 0, zygote: undefined },
  { paused: PAUSED, zygote: undefined },
  { paused: 0, zygote: ZYGOTE },
  { paused: PAUSED, zygote: ZYGOTE },
])("beside $paused paused sandboxes, forked from $zygote", ({ paused, zygote }) => {
  it.each([1, 15])("%i clients make, pause, resume and destroy", async (clients) => {
    const asleep = await Promise.all(Array.from({ length: paused }, () => make(zygote)));
    for (const sandbox of asleep) {
      await sandbox.ready;
      expect(await sandbox.pause()).toBe(true);
    }
    let left = ROUNDS;
    const client = async (): Promise<void> => {
      for (; left > 0; left -= 1) await live(zygote, `${left}`);
    };
    await Promise.all(Array.from({ length: clients }, client));
    expect(pool.stats().sandboxes).toBe(paused);
    for (const [at, sandbox] of asleep.entries()) expect(await echo(sandbox, `${at}`)).toBe(`${at}`);
    await Promise.all(asleep.map((sandbox) => sandbox.destroy()));
    expect(pool.stats()).toMatchObject({ sandboxes: 0, promisedMb: ZYGOTE_LIMITS.memoryMb });
  });
});
