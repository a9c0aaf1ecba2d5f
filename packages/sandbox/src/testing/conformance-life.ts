import assert from "node:assert/strict";

import { SANDBOX_MB, callOf, failsWith, memoryWait, resultOf, specOf } from "./conformance-kit.ts";
import type { ConformanceCase } from "./conformance.ts";
import type { SandboxPool } from "../pool.ts";

/** Makes and destroys sandboxes one after the other. */
export const churn = async (pool: SandboxPool, rounds: number): Promise<void> => {
  for (let round = 0; round < rounds; round += 1) {
    const sandbox = await pool.acquire(specOf("echo"), memoryWait());
    assert.equal(await resultOf(sandbox, round), round);
    await sandbox.destroy();
  }
};

/** How sandboxes begin and end. */
export const LIFE_CASES: readonly ConformanceCase[] = [
  {
    title: "says with which code the process exited in mid-call",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("exit"));
      const error = await failsWith(sandbox.call(callOf(3)), "OL_SANDBOX_EXITED");
      assert.deepEqual(error.details, { code: 3 });
      assert.deepEqual(await sandbox.exited, { reason: "exit", code: 3 });
    },
  },
  {
    title: "fails every open call when the process exits",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("exit"));
      const calls = [callOf(0), callOf(0)].map((call) => sandbox.call(call));
      await Promise.all(calls.map((call) => failsWith(call, "OL_SANDBOX_EXITED")));
    },
  },
  {
    title: "fails an open call when the sandbox is destroyed",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("sleep"));
      await sandbox.ready;
      const call = failsWith(sandbox.call(callOf(30)), "OL_SANDBOX_DESTROYED");
      await sandbox.destroy();
      await call;
      assert.equal(sandbox.state, "destroyed");
    },
  },
  {
    title: "can be destroyed twice, also at the same time",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("echo"));
      await Promise.all([sandbox.destroy(), sandbox.destroy()]);
      await sandbox.destroy();
      assert.equal(pool.stats().destroyed, 1);
    },
  },
  {
    title: "keeps id and meta readable after destroy and answers calls with one error",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("echo"));
      const { id } = sandbox;
      await sandbox.destroy();
      assert.equal(sandbox.id, id);
      assert.deepEqual(sandbox.meta, specOf("echo"));
      await failsWith(sandbox.call(callOf(0)), "OL_SANDBOX_DESTROYED");
      await failsWith(sandbox.call(callOf(0)), "OL_SANDBOX_DESTROYED");
      assert.ok((await sandbox.exited).reason);
    },
  },
  {
    title: "refuses a code directory that does not exist",
    run: async (pool) => {
      await failsWith(pool.acquire(specOf("no-such-code")), "OL_SANDBOX_CREATE_FAILED");
      assert.equal(pool.stats().promisedMb, 0);
    },
  },
  {
    title: "has fifty sandboxes at once that all answer",
    memoryMb: 50 * SANDBOX_MB,
    run: async (pool, engine) => {
      const numbers = Array.from({ length: 50 }, (_, number) => number);
      const sandboxes = await Promise.all(numbers.map(() => pool.acquire(specOf("echo"))));
      const results = sandboxes.map((sandbox, number) => resultOf(sandbox, number));
      assert.deepEqual(await Promise.all(results), numbers);
      assert.equal(engine.stats().sandboxes, 50);
      assert.equal(new Set(sandboxes.map((sandbox) => sandbox.id)).size, 50);
    },
  },
  { title: "stands one client that makes and destroys", run: (pool) => churn(pool, 20) },
  {
    title: "stands fifteen clients that make and destroy with memory for ten",
    memoryMb: 10 * SANDBOX_MB,
    run: async (pool) => {
      await Promise.all(Array.from({ length: 15 }, () => churn(pool, 4)));
      assert.equal(pool.stats().destroyed, 60);
    },
  },
  {
    title: "gives memory back when a sandbox is destroyed or exits",
    memoryMb: SANDBOX_MB,
    run: async (pool) => {
      const first = await pool.acquire(specOf("exit"));
      const second = pool.acquire(specOf("echo"), memoryWait());
      await failsWith(first.call(callOf(1)), "OL_SANDBOX_EXITED");
      await (await second).destroy();
      assert.equal(await resultOf(await pool.acquire(specOf("echo")), "third"), "third");
    },
  },
  {
    title: "stops waiting or making when the caller gives up",
    memoryMb: SANDBOX_MB,
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("echo"));
      const stop = new AbortController();
      const waiting = failsWith(
        pool.acquire(specOf("echo"), { signal: stop.signal }),
        "OL_SANDBOX_CANCELLED",
      );
      stop.abort();
      await waiting;
      await sandbox.destroy();
      const again = new AbortController();
      const making = failsWith(
        pool.acquire(specOf("echo"), { signal: again.signal }),
        "OL_SANDBOX_CANCELLED",
      );
      setImmediate(() => again.abort());
      // The engine may have been faster: then there is nothing to give up.
      await making.catch(() => undefined);
      await Promise.all(pool.sandboxes().map((each) => each.destroy()));
      assert.equal(await resultOf(await pool.acquire(specOf("echo")), 1), 1);
    },
  },
  {
    title: "destroys everything when the pool is closed, in mid-call too",
    run: async (pool, engine) => {
      const sandboxes = await Promise.all([1, 2, 3].map(() => pool.acquire(specOf("sleep"))));
      const calls = sandboxes.map((each) => failsWith(each.call(callOf(30)), "OL_SANDBOX_DESTROYED"));
      await Promise.all([pool.close(), pool.close()]);
      await Promise.all(calls);
      assert.equal(engine.stats().sandboxes, 0);
      await failsWith(pool.acquire(specOf("echo")), "OL_SANDBOX_CLOSED");
    },
  },
  {
    title: "ends every sandbox when the engine is closed",
    run: async (pool, engine) => {
      const sandbox = await pool.acquire(specOf("sleep"));
      await sandbox.ready;
      const call = sandbox.call(callOf(30));
      const failed = assert.rejects(call);
      await engine.close();
      await engine.close();
      await failed;
      await sandbox.exited;
    },
  },
];
