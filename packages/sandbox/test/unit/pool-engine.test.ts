import { describe, expect, it } from "vitest";

import { type EngineSandbox, type SandboxEngine, SandboxPool } from "../../src/index.ts";
import { failsWith, resultOf, specOf } from "../../src/testing/conformance-kit.ts";
import { FakeEngine } from "../../src/testing/index.ts";

/** A fake engine, of which one method is what somebody wrote carelessly. */
const careless = (change: Partial<SandboxEngine>): SandboxEngine => {
  const engine = new FakeEngine();
  return new Proxy(engine, {
    get: (target, name) => {
      const value: unknown = name in change ? change[name as keyof SandboxEngine] : Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
};

/** The engine's sandbox, changed. */
const withSandbox = (change: Partial<EngineSandbox>): SandboxEngine => {
  const engine = new FakeEngine();
  return careless({
    create: async (...args) => Object.assign(await engine.create(...args), change),
    close: () => engine.close(),
  });
};

describe("a pool over a careless engine", () => {
  it("has the memory back if making a sandbox throws instead of rejecting", async () => {
    let broken = true;
    const good = new FakeEngine();
    const engine = careless({
      create: (...args) => {
        if (broken) throw new TypeError("not a function");
        return good.create(...args);
      },
      close: () => good.close(),
    });
    await using pool = SandboxPool.create({ engine, memoryMb: 50 });
    const { message } = await failsWith(pool.acquire(specOf("echo")), "OL_SANDBOX_CREATE_FAILED");
    expect(message).toMatch(/not a function/);
    expect(pool.stats()).toMatchObject({ promisedMb: 0, creating: 0 });
    broken = false;
    expect(await resultOf(await pool.acquire(specOf("echo")), 1)).toBe(1);
  });

  it("measures what can be measured if one sandbox cannot", async () => {
    const engine = withSandbox({
      memoryBytes: () => {
        throw new TypeError("not a function");
      },
    });
    await using pool = SandboxPool.create({ engine, memoryMb: 50 });
    const sandbox = await pool.acquire(specOf("echo"));
    await sandbox.ready;
    expect(await pool.usedMb()).toBe(0);
    // It keeps its memory while it is paused.
    expect(await sandbox.pause()).toBe(true);
    expect(pool.stats().promisedMb).toBe(50);
  });

  it("counts a sandbox as gone whose engine could not end it, and says so", async () => {
    const errors: string[] = [];
    const engine = withSandbox({ kill: () => Promise.reject(new Error("no such process")) });
    const logger = {
      debug: () => undefined,
      info: () => undefined,
      warn: () => undefined,
      error: (message: string) => void errors.push(message),
    };
    await using pool = SandboxPool.create({ engine, memoryMb: 50, logger });
    const sandbox = await pool.acquire(specOf("echo"));
    await sandbox.destroy();
    expect(sandbox.state).toBe("destroyed");
    expect(errors).toEqual(["a sandbox could not be ended"]);
  });
});
