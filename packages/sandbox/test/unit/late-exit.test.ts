import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { SandboxPool } from "../../src/index.ts";
import { FakeEngine } from "../../src/testing/index.ts";
import { callOf, failsWith, specOf } from "../../src/testing/conformance-kit.ts";

/** As late as the broker may be with it. */
const LATE_MS = 5_000;
const NEVER_MS = 3_600_000;
const STEP_MS = 500;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});

afterEach(() => {
  vi.useRealTimers();
});

/** How a call ends whose sandbox exits with 3, which is told that much later than its connection closes. */
const endOfCall = async (lateMs: number): Promise<Readonly<Record<string, unknown>>> => {
  const engine = new FakeEngine({ beforeExit: () => new Promise((resolve) => setTimeout(resolve, lateMs)) });
  const pool = SandboxPool.create({ engine, memoryMb: 100 });
  const state = { over: false };
  const sandbox = await pool.acquire(specOf("exit"));
  const failed = failsWith(sandbox.call(callOf(3)), "OL_SANDBOX_EXITED");
  void failed.finally(() => (state.over = true));
  while (!state.over) {
    await vi.advanceTimersByTimeAsync(STEP_MS);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await pool.close();
  return (await failed).details;
};

it("says with which code a process exited, though that is known seconds after its connection closed", async () => {
  expect(await endOfCall(LATE_MS)).toEqual({ code: 3 });
});

it("does not wait for ever to know how a process ended", async () => {
  expect(await endOfCall(NEVER_MS)).toEqual({});
});
