import assert from "node:assert/strict";

import { callOf, failsWith, resultOf, specOf } from "./conformance-kit.ts";
import type { ConformanceCase } from "./conformance.ts";
import type { SandboxPool } from "../pool.ts";
import type { Sandbox } from "../sandbox.ts";

const CLIENTS = 16;

const ready = async (pool: SandboxPool, code: string): Promise<Sandbox> => {
  const sandbox = await pool.acquire(specOf(code));
  await sandbox.ready;
  return sandbox;
};

/** How sandboxes are paused and resumed. */
export const PAUSE_CASES: readonly ConformanceCase[] = [
  {
    title: "answers a call to a paused sandbox, with what it knew before",
    run: async (pool) => {
      const sandbox = await ready(pool, "count");
      assert.equal(await resultOf(sandbox, 0), 1);
      assert.equal(await sandbox.pause(), true);
      assert.equal(sandbox.state, "paused");
      assert.equal(await resultOf(sandbox, 0), 2);
      assert.equal(sandbox.state, "ready");
    },
  },
  {
    title: "can be paused twice and resumed twice, also at the same time",
    run: async (pool) => {
      const sandbox = await ready(pool, "echo");
      assert.deepEqual(await Promise.all([sandbox.pause(), sandbox.pause()]), [true, true]);
      assert.equal(await sandbox.pause(), true);
      await Promise.all([sandbox.resume(), sandbox.resume()]);
      await sandbox.resume();
      assert.equal(sandbox.state, "ready");
      assert.equal(await resultOf(sandbox, "awake"), "awake");
    },
  },
  {
    title: "does not pause a sandbox that runs a call",
    run: async (pool) => {
      const sandbox = await ready(pool, "sleep");
      const call = sandbox.call(callOf(0.2));
      assert.equal(await sandbox.pause(), false);
      assert.equal((await call).failure, undefined);
      assert.equal(await sandbox.pause(), true);
    },
  },
  {
    title: "answers calls that come while it is being paused or resumed, in their order",
    run: async (pool) => {
      const sandbox = await ready(pool, "count");
      const paused = sandbox.pause();
      const first = resultOf(sandbox, 0);
      await paused;
      const second = resultOf(sandbox, 0);
      assert.deepEqual(await Promise.all([first, second]), [1, 2]);
    },
  },
  {
    title: "can be destroyed while it is paused, being paused, or being resumed",
    run: async (pool) => {
      const paused = await ready(pool, "echo");
      await paused.pause();
      await paused.destroy();
      assert.deepEqual(await paused.exited, { reason: "killed" });
      const pausing = await ready(pool, "echo");
      const pause = pausing.pause();
      await pausing.destroy();
      await pause.catch(() => undefined);
      const resuming = await ready(pool, "echo");
      await resuming.pause();
      const call = failsWith(resuming.call(callOf(1)), "OL_SANDBOX_DESTROYED");
      await resuming.destroy();
      await call;
      for (const each of [paused, pausing, resuming]) {
        assert.equal(each.state, "destroyed");
        assert.equal(await each.pause(), false);
        await failsWith(each.resume(), "OL_SANDBOX_DESTROYED");
      }
    },
  },
  {
    title: "says how much memory a sandbox holds, paused or not",
    run: async (pool) => {
      const sandbox = await ready(pool, "echo");
      const running = await sandbox.memoryBytes();
      await sandbox.pause();
      const paused = await sandbox.memoryBytes();
      for (const bytes of [running, paused])
        assert.ok(bytes > 50_000 && bytes < 50_000_000, `${bytes} bytes`);
    },
  },
  {
    title: "stands sixteen clients that pause, call and destroy",
    run: async (pool) => {
      const client = async (number: number): Promise<void> => {
        const sandbox = await ready(pool, "echo");
        for (let round = 0; round < 5; round += 1) {
          assert.equal(await sandbox.pause(), true);
          if (round % 2 === 0) await sandbox.resume();
          assert.equal(await resultOf(sandbox, number), number);
        }
        if (number % 2 === 0) await sandbox.pause();
        await sandbox.destroy();
      };
      await Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number)));
      assert.equal(pool.stats().destroyed, CLIENTS);
    },
  },
];
