import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import type { OlError } from "@ol/common";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";

import { SandboxPool, isNotStarted } from "../../src/index.ts";
import { SockEngine } from "../../src/sock/engine.ts";
import { callOf, resultOf, specOf } from "../../src/testing/conformance-kit.ts";
import { CONFORMANCE_HANDLERS_DIR } from "../../src/testing/index.ts";
import { treeOf, treesOf } from "../support/leftovers.ts";

let workDir: string;

beforeAll(async () => {
  workDir = await mkdtemp(path.join(tmpdir(), "ol-unstarted-"));
});

afterAll(async () => {
  await rm(workDir, { recursive: true });
});

/** Nothing is forked in advance: each sandbox has to wait for the zygote. */
const makePool = async (): Promise<{ pool: SandboxPool; brokerPid: number }> => {
  const engine = await SockEngine.create({
    clusterId: `u${process.pid.toString(36)}`.padEnd(6, "0"),
    workerName: "worker-0",
    workDir: path.join(workDir, "worker-0"),
    codeDir: CONFORMANCE_HANDLERS_DIR,
    networks: ["none"],
    prepared: 0,
  });
  const pool = SandboxPool.create({ engine, memoryMb: 500 });
  onTestFinished(async () => {
    await pool.close();
    await engine.close();
  });
  return { pool, brokerPid: engine.brokerPid as number };
};

const failureOf = (call: Promise<unknown>): Promise<OlError> =>
  call.then(
    () => Promise.reject(new Error("it did not fail")),
    (error: OlError) => error,
  );

/** Makes a sandbox and calls it; what came of the call. */
const callOnce = async (pool: SandboxPool): Promise<string> => {
  await using sandbox = await pool.acquire(specOf("echo"));
  const told = await sandbox.call(callOf(1)).then(
    () => "reply",
    (error: OlError) => `${error.code}${isNotStarted(error) ? ", not started" : ""}`,
  );
  return told;
};

describe("a call to a sandbox whose zygote is killed", () => {
  it("before it forked it was certainly not started, and says so", async () => {
    const { pool, brokerPid } = await makePool();
    expect(await resultOf(await pool.acquire(specOf("echo")), 1)).toBe(1);
    for (let round = 0; round < 2; round += 1) {
      const { zygote } = treeOf(brokerPid);
      process.kill(zygote, "SIGSTOP");
      const sandboxes = await Promise.all([1, 2, 3].map(() => pool.acquire(specOf("echo"))));
      const calls = sandboxes.map((sandbox) => failureOf(sandbox.call(callOf(1))));
      process.kill(zygote, "SIGKILL");
      for (const error of await Promise.all(calls))
        expect(error).toMatchObject({ code: "OL_SANDBOX_DESTROYED", details: { notStarted: true } });
      expect(await resultOf(await pool.acquire(specOf("echo")), round)).toBe(round);
    }
  });

  it("while it ran says no such thing", async () => {
    const { pool } = await makePool();
    const sandbox = await pool.acquire(specOf("exit"));
    await sandbox.ready;
    const error = await failureOf(sandbox.call(callOf(3)));
    expect([error.code, isNotStarted(error)]).toEqual(["OL_SANDBOX_EXITED", false]);
  });

  it("at any moment hears a reply, or that the call was not started, or that nobody can tell; making it never fails", async () => {
    const { pool, brokerPid } = await makePool();
    const told = new Set<string>();
    for (let round = 0; round < 5; round += 1) {
      // Now there is a zygote that lives, and soon no other.
      await expect.poll(() => callOnce(pool), { timeout: 10_000 }).toBe("reply");
      await expect.poll(() => treesOf(brokerPid).length, { timeout: 10_000 }).toBe(1);
      const { zygote } = treeOf(brokerPid);
      const outcomes = [1, 2, 3].map(() => callOnce(pool));
      process.kill(zygote, "SIGKILL");
      for (const outcome of await Promise.all(outcomes)) told.add(outcome);
    }
    const allowed = new Set(["reply", "OL_SANDBOX_DESTROYED, not started", "OL_SANDBOX_DESTROYED"]);
    expect([...told].filter((outcome) => !allowed.has(outcome))).toEqual([]);
  });
});
