import assert from "node:assert/strict";

import { callOf, failsWith, failureOf, resultOf, specOf } from "./conformance-kit.ts";
import type { ConformanceCase } from "./conformance.ts";

/** More than a frame and several windows hold. */
const LARGE_BYTES = 5_000_000;

/** Goes in one frame, so that it may be asked back, and fills the socket. */
const LARGEST_RECALLED_BYTES = 900_000;

/** What calls of a sandbox do. */
export const CALL_CASES: readonly ConformanceCase[] = [
  {
    title: "answers a call with the function's result",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("echo"));
      assert.deepEqual(await resultOf(sandbox, { text: "Grüße 🎉", list: [1, 2.5, null, true] }), {
        text: "Grüße 🎉",
        list: [1, 2.5, null, true],
      });
      await sandbox.ready;
      assert.equal(sandbox.state, "ready");
    },
  },
  {
    title: "answers one call after the other in the same process",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("count"));
      assert.equal(await resultOf(sandbox, 0), 1);
      assert.equal(await resultOf(sandbox, 0), 2);
    },
  },
  {
    title: "answers calls that wait in the sandbox in their order",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("count"));
      const results = [0, 0].map((event) => resultOf(sandbox, event));
      assert.deepEqual(await Promise.all(results), [1, 2]);
    },
  },
  {
    title: "lives on after an exception in the function",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("count"));
      const reply = await sandbox.call(callOf("raise"));
      assert.equal(reply.failure, "exception");
      assert.match(failureOf(reply).message, /asked to raise/);
      assert.equal(await resultOf(sandbox, 0), 2);
    },
  },
  {
    title: "refuses an event that is not JSON and lives on",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("echo"));
      const reply = await sandbox.call({ ...callOf(0), body: Buffer.from("{not json") });
      assert.equal(reply.failure, "bad-input");
      assert.equal(await resultOf(sandbox, "still here"), "still here");
    },
  },
  {
    title: "says so when the result is not JSON-able",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("not-json"));
      assert.equal((await sandbox.call(callOf(0))).failure, "bad-output");
    },
  },
  {
    title: "carries large bodies both ways",
    run: async (pool) => {
      const event = "ab".repeat(LARGE_BYTES / 2);
      const echo = await pool.acquire(specOf("echo"));
      assert.ok((await resultOf(echo, event)) === event, "the body came back changed");
      const make = await pool.acquire(specOf("make"));
      assert.equal(String(await resultOf(make, LARGE_BYTES)).length, LARGE_BYTES);
      const length = await pool.acquire(specOf("length"));
      assert.equal(await resultOf(length, event), LARGE_BYTES);
    },
  },
  {
    title: "gives the code its environment",
    run: async (pool) => {
      const sandbox = await pool.acquire(
        specOf("environment", { GREETING: "good = morning, 'all' of $YOU" }),
      );
      assert.equal(await resultOf(sandbox, "GREETING"), "good = morning, 'all' of $YOU");
      assert.equal(await resultOf(sandbox, "NOT_SET_ANYWHERE"), null);
    },
  },
  {
    title: "answers with Python's own text when the code cannot be imported",
    run: async (pool) => {
      for (const [code, text] of [
        ["import-error", /ModuleNotFoundError.*no_such_module_anywhere/],
        ["syntax-error", /SyntaxError/],
      ] as const) {
        const sandbox = await pool.acquire(specOf(code));
        const call = sandbox.call(callOf(0));
        const ready = failsWith(sandbox.ready, "OL_SANDBOX_IMPORT_FAILED");
        assert.match((await failsWith(call, "OL_SANDBOX_IMPORT_FAILED")).message, text);
        assert.match((await ready).message, text);
        await sandbox.exited;
        await failsWith(sandbox.call(callOf(0)), "OL_SANDBOX_IMPORT_FAILED");
      }
    },
  },
  {
    title: "ends a call over its time limit, and the sandbox with it",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("sleep"));
      await sandbox.ready;
      await failsWith(sandbox.call(callOf(30, 200)), "OL_SANDBOX_TIMEOUT");
      await sandbox.exited;
      await failsWith(sandbox.call(callOf(0)), "OL_SANDBOX_DESTROYED");
    },
  },
  {
    title: "destroys a sandbox whose code swallows being cancelled",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("stubborn"));
      await sandbox.ready;
      await failsWith(sandbox.call(callOf(0, 200)), "OL_SANDBOX_TIMEOUT");
      assert.notEqual((await sandbox.exited).reason, "lost");
    },
  },
  {
    title: "gives back calls that wait too long behind another, and does not run them",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("sleep"));
      await sandbox.ready;
      assert.ok(sandbox.streams > 2, `it takes ${sandbox.streams} calls at once`);
      // Not over, and the next one begun, before they are asked back.
      const first = sandbox.call(callOf(5));
      const behind = [1, 2].map(() =>
        failsWith(sandbox.call({ ...callOf(30), waitMs: 20 }), "OL_SANDBOX_RECALLED"),
      );
      for (const { details } of await Promise.all(behind)) assert.equal(details["behind"], true);
      assert.equal(sandbox.inFlight, 1);
      assert.equal((await first).failure, undefined);
      // Neither runs now.
      assert.equal((await sandbox.call(callOf(0, 5_000))).failure, undefined);
    },
  },
  {
    title: "gives back large calls, too, that wait behind a function that only waits",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("sleep"));
      await sandbox.ready;
      const asleep = failsWith(sandbox.call(callOf(60, 60_000)), "OL_SANDBOX_DESTROYED");
      for (let round = 0; round < 20; round += 1) {
        const call = { ...callOf("x".repeat(LARGEST_RECALLED_BYTES)), waitMs: 5 };
        await failsWith(sandbox.call(call), "OL_SANDBOX_RECALLED");
      }
      await Promise.all([sandbox.destroy(), asleep]);
    },
  },
  {
    title: "says of calls that wait behind one that ends the sandbox that they have not begun",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("exit"));
      await sandbox.ready;
      const calls = [1, 2, 3].map((code) => failsWith(sandbox.call(callOf(code)), "OL_SANDBOX_EXITED"));
      const told = (await Promise.all(calls)).map(({ details }) => [details["code"], details["behind"]]);
      assert.deepEqual(told, [
        [1, undefined],
        [1, true],
        [1, true],
      ]);
    },
  },
  {
    title: "drops the reply of an abandoned call and takes the next one",
    run: async (pool) => {
      const sandbox = await pool.acquire(specOf("make"));
      const heard: string[] = [];
      const call = sandbox.invoke(callOf(LARGE_BYTES), {
        whole: () => void heard.push("whole"),
        start: () => void heard.push("start"),
        chunk: () => heard.push("chunk") > 0,
        end: () => void heard.push("end"),
        fail: () => void heard.push("fail"),
      });
      call.abandon();
      assert.equal(await resultOf(sandbox, 3), "xxx");
      assert.deepEqual(heard, []);
    },
  },
];
