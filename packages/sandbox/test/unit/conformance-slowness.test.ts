import { afterEach, beforeEach, expect, it, vi } from "vitest";

import type { ConformanceCase } from "../../src/testing/index.ts";
import { FakeEngine, runConformanceCase } from "../../src/testing/index.ts";
import { churn } from "../../src/testing/conformance-life.ts";

const MAKING_MS = 15_000;
const CALL_MS = 40_000;
const STEP_MS = 1_000;
const SLOWNESS = 20;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});

afterEach(() => {
  vi.useRealTimers();
});

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Two clients with memory for one, on a machine that takes a thousand times longer than ours. */
const CASE: ConformanceCase = {
  title: "of a slow machine",
  memoryMb: 50,
  run: async (pool) => {
    await Promise.all([churn(pool, 1), churn(pool, 1)]);
  },
};

const slowEngine = (): FakeEngine =>
  new FakeEngine({
    beforeCreate: () => sleep(MAKING_MS),
    code: { echo: { call: (event) => sleep(CALL_MS).then(() => event) } },
  });

/** The case's end, with time that passes as fast as its sockets are read. */
const run = async (slowness: number): Promise<unknown> => {
  const state = { over: false };
  const error = runConformanceCase(CASE, slowEngine, slowness).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  void error.then(() => (state.over = true));
  while (!state.over) {
    await vi.advanceTimersByTimeAsync(STEP_MS);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return error;
};

it("lets everything that a case waits for take longer on a machine that is said to be slow", async () => {
  expect(await run(SLOWNESS)).toBeUndefined();
});

it("does not wait as long on a machine of which nothing was said", async () => {
  expect(await run(1)).toMatchObject({ code: "OL_SANDBOX_NO_MEMORY" });
});
