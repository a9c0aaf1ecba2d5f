import { expect, it } from "vitest";

import { deferred } from "@ol/common";

import { SandboxPool } from "../../src/index.ts";
import { callOf, failsWith, specOf } from "../../src/testing/conformance-kit.ts";
import { FakeEngine } from "../../src/testing/index.ts";

it("runs nothing more once its sandbox has ended, though its code is loaded only then", async () => {
  const loading = deferred<void>();
  let runs = 0;
  const late = { load: () => loading.promise, call: () => (runs += 1) };
  await using engine = new FakeEngine({ code: { late } });
  await using pool = SandboxPool.create({ engine, memoryMb: 100 });
  const sandbox = await pool.acquire(specOf("late"));
  const call = failsWith(sandbox.call(callOf(1)), "OL_SANDBOX_EXITED");
  for (let count = 0; count < 5; count += 1) await new Promise((resolve) => setImmediate(resolve));
  engine.end(sandbox.id, { reason: "exit", code: 1 });
  await call;
  loading.resolve();
  for (let count = 0; count < 5; count += 1) await new Promise((resolve) => setImmediate(resolve));
  expect(runs).toBe(0);
});
