import { describe, expect, it } from "vitest";

import type { SandboxExit, SandboxSpec } from "../../src/index.ts";
import { SandboxPool, sandboxError } from "../../src/index.ts";
import { FakeEngine } from "../../src/testing/index.ts";
import { callOf, failsWith, resultOf, specOf } from "../../src/testing/conformance-kit.ts";
import { Gate, seededRandom } from "./frames-kit.ts";

const sized = (memoryMb: number, code = "echo"): SandboxSpec => ({
  ...specOf(code),
  limits: { ...specOf(code).limits, memoryMb },
});
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Aborts after so many turns of the queue of settled promises. */
const abortAfter = async (ticks: number, stop: AbortController): Promise<void> => {
  for (let tick = 0; tick < ticks; tick += 1) await Promise.resolve();
  stop.abort();
};

describe("a sandbox that nobody wants any more in the moment in which it is made", () => {
  it("is its asker's or destroyed, whichever promise is settled first", async () => {
    for (let ticks = 0; ticks < 8; ticks += 1) {
      await using engine = new FakeEngine();
      await using pool = SandboxPool.create({ engine, memoryMb: 100 });
      const stop = new AbortController();
      pool.on("create", () => void abortAfter(ticks, stop));
      const asked = pool.acquire(sized(60), { signal: stop.signal });
      const had = await asked.catch(() => undefined);
      for (let count = 0; count < 5; count += 1) await turn();
      const there = pool.sandboxes().map(({ id }) => id);
      expect(there, `after ${ticks} ticks`).toEqual(had === undefined ? [] : [had.id]);
    }
  });
});

describe("the memory budget of a pool", () => {
  it("never promises more than there is, whatever is acquired, destroyed, exits or fails", async () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const random = seededRandom(seed);
      await using engine = new FakeEngine({
        beforeCreate: async () => {
          await turn();
          if (random() < 0.1) throw sandboxError("OL_SANDBOX_CREATE_FAILED", "as the test wants it");
        },
        beforeGone: turn,
      });
      await using pool = SandboxPool.create({ engine, memoryMb: 200 });
      // What is really there, counted from the outside.
      let usedMb = 0;
      let mostMb = 0;
      pool.on("create", (sandbox) => (mostMb = Math.max(mostMb, (usedMb += sandbox.meta.limits.memoryMb))));
      pool.on("destroy", (sandbox) => (usedMb -= sandbox.meta.limits.memoryMb));
      const client = async (): Promise<void> => {
        for (let round = 0; round < 8; round += 1) {
          const signal = random() < 0.2 ? AbortSignal.timeout(1) : undefined;
          const acquired = pool.acquire(sized(1 + Math.floor(random() * 120)), signal && { signal });
          const sandbox = await acquired.catch(() => undefined);
          expect(pool.stats().promisedMb).toBeLessThanOrEqual(200);
          if (sandbox === undefined) continue;
          if (random() < 0.3) engine.end(sandbox.id, { reason: "exit", code: 1 });
          else await sandbox.destroy();
        }
      };
      await Promise.all(Array.from({ length: 6 }, client));
      await pool.close();
      expect(mostMb, `seed ${seed}`).toBeLessThanOrEqual(200);
      expect(mostMb, `seed ${seed}`).toBeGreaterThan(100);
      expect([usedMb, pool.stats().promisedMb]).toEqual([0, 0]);
    }
  });

  it("lets small wishes use what a large one cannot, but not more often than eight times", async () => {
    await using engine = new FakeEngine();
    await using pool = SandboxPool.create({ engine, memoryMb: 100 });
    const first = await pool.acquire(sized(60));
    const order: string[] = [];
    const large = pool.acquire(sized(90)).then(() => order.push("large"));
    for (let number = 0; number < 8; number += 1) await (await pool.acquire(sized(40))).destroy();
    const small = pool.acquire(sized(10)).then(() => order.push("small"));
    await turn();
    expect([order, pool.stats().waiting]).toEqual([[], 2]);
    await first.destroy();
    await Promise.all([large, small]);
    expect(order).toEqual(["large", "small"]);
  });

  it("gives memory back only when nothing of the sandbox is left", async () => {
    const gone = new Gate();
    await using engine = new FakeEngine({ beforeGone: () => gone.opened });
    await using pool = SandboxPool.create({ engine, memoryMb: 50 });
    const sandbox = await pool.acquire(specOf("echo"));
    const destroyed = sandbox.destroy();
    await failsWith(pool.acquire(specOf("echo"), { deadlineMs: 20 }), "OL_SANDBOX_NO_MEMORY");
    expect([sandbox.state, pool.stats().promisedMb]).toEqual(["destroying", 50]);
    gone.open();
    await destroyed;
    expect([sandbox.state, pool.stats().promisedMb]).toEqual(["destroyed", 0]);
  });

  it("lets those behind a caller who gave up go on", async () => {
    await using engine = new FakeEngine();
    await using pool = SandboxPool.create({ engine, memoryMb: 100 });
    await pool.acquire(sized(60));
    const large = failsWith(pool.acquire(sized(90), { deadlineMs: 50 }), "OL_SANDBOX_NO_MEMORY");
    for (let number = 0; number < 8; number += 1) await (await pool.acquire(sized(40))).destroy();
    const small = pool.acquire(sized(40));
    await turn();
    expect(pool.stats().waiting).toBe(2);
    await large;
    expect((await small).ended).toBeUndefined();
  });

  it("refuses at once what could never fit", async () => {
    await using engine = new FakeEngine();
    await using pool = SandboxPool.create({ engine, memoryMb: 100 });
    await expect(pool.acquire(sized(101))).rejects.toMatchObject({ code: "OL_SANDBOX_TOO_LARGE" });
  });
});

describe("a pool", () => {
  it("destroys everything and refuses more when the engine is lost", async () => {
    await using engine = new FakeEngine();
    await using pool = SandboxPool.create({ engine, memoryMb: 100 });
    const names: string[] = [];
    pool.on("lost", () => names.push("lost"));
    pool.on("destroy", () => names.push("destroy"));
    const sandbox = await pool.acquire(sized(100, "sleep"));
    const call = failsWith(sandbox.call(callOf(30)), "OL_SANDBOX_DESTROYED");
    const waiting = failsWith(pool.acquire(sized(10)), "OL_SANDBOX_BROKER_LOST");
    engine.lose();
    await Promise.all([call, waiting]);
    await failsWith(pool.acquire(sized(10)), "OL_SANDBOX_BROKER_LOST");
    await pool.close();
    expect(names).toEqual(["lost", "destroy"]);
  });

  it("gives up on an engine that takes too long, and destroys what comes of it later", async () => {
    const late = new Gate();
    await using engine = new FakeEngine({ beforeCreate: () => late.opened });
    await using pool = SandboxPool.create({ engine, memoryMb: 50, createMs: 20 });
    await failsWith(pool.acquire(specOf("echo")), "OL_SANDBOX_CREATE_FAILED");
    expect(pool.stats()).toMatchObject({ promisedMb: 50, creating: 1 });
    const destroyed = new Promise((resolve) => pool.on("destroy", resolve));
    late.open();
    await destroyed;
    expect(pool.stats()).toMatchObject({ promisedMb: 0, creating: 0, created: 1, destroyed: 1 });
  });

  it("that is closed tells at once who waits for a sandbox being made, and ends when that is gone", async () => {
    const made = new Gate();
    await using engine = new FakeEngine({ beforeCreate: () => made.opened });
    await using pool = SandboxPool.create({ engine, memoryMb: 50 });
    const acquired = failsWith(pool.acquire(specOf("echo")), "OL_SANDBOX_CLOSED");
    await turn();
    const closed = pool.close();
    await acquired;
    made.open();
    await closed;
    expect(pool.stats()).toMatchObject({ promisedMb: 0, sandboxes: 0, creating: 0, destroyed: 1 });
  });

  it("gives every sandbox an id of its own that suits a file name", async () => {
    await using engine = new FakeEngine();
    await using pool = SandboxPool.create({ engine, memoryMb: 1_000 });
    const made = await Promise.all(Array.from({ length: 20 }, () => pool.acquire(specOf("echo"))));
    const ids = made.map((sandbox) => sandbox.id);
    expect(new Set(ids).size).toBe(20);
    for (const id of ids) expect(id).toMatch(/^[a-z0-9]{1,8}-[a-z0-9]{5}$/);
  });

  it("goes on when a listener throws", async () => {
    await using engine = new FakeEngine();
    await using pool = SandboxPool.create({ engine, memoryMb: 100 });
    pool.on("create", () => {
      throw new Error("a listener's own mistake");
    });
    expect(await resultOf(await pool.acquire(specOf("echo")), 1)).toBe(1);
  });

  const limits = specOf("echo").limits;
  it.each<[string, object]>([
    ["name", { name: ".hidden" }],
    ["name", { name: "a/b" }],
    ["name", { name: "x".repeat(129) }],
    ["code", { code: "../other" }],
    ["code", { code: "/etc" }],
    ["code", { code: "" }],
    ["network", { network: "wifi" }],
    ["environment", { environment: { "A=B": "c" } }],
    ["environment", { environment: { A: "b\0c" } }],
    ["limits.memoryMb", { limits: { ...limits, memoryMb: 0 } }],
    ["limits.swappiness", { limits: { ...limits, swappiness: 101 } }],
    ["limits.procs", { limits: { ...limits, procs: 1.5 } }],
  ])("names the field when a sandbox's %s is wrong", async (field, wrong) => {
    await using engine = new FakeEngine();
    await using pool = SandboxPool.create({ engine, memoryMb: 100 });
    const error = await failsWith(pool.acquire({ ...specOf("echo"), ...wrong }), "OL_SANDBOX_BAD_OPTIONS");
    expect(error.details["field"]).toContain(field);
    expect(error.message).toContain(field);
  });
});

describe("a sandbox that ends by itself", () => {
  it.each<[SandboxExit, string]>([
    [{ reason: "exit", code: 3 }, "OL_SANDBOX_EXITED"],
    [{ reason: "signal", signal: "SIGKILL" }, "OL_SANDBOX_EXITED"],
    [{ reason: "out-of-memory" }, "OL_SANDBOX_OUT_OF_MEMORY"],
    [{ reason: "lost" }, "OL_SANDBOX_DESTROYED"],
  ])("by %j fails its call with the reason, and later ones with OL_SANDBOX_DESTROYED", async (exit, code) => {
    await using engine = new FakeEngine();
    await using pool = SandboxPool.create({ engine, memoryMb: 100 });
    const sandbox = await pool.acquire(specOf("sleep"));
    const call = sandbox.call(callOf(30));
    await sandbox.ready;
    engine.end(sandbox.id, exit);
    await expect(call).rejects.toMatchObject({ code });
    await failsWith(sandbox.call(callOf(0)), "OL_SANDBOX_DESTROYED");
    expect(await sandbox.exited).toEqual(exit);
  });

  it("by breaking the protocol is destroyed and its call hears so", async () => {
    const code = {
      garbage: {
        call: (_event: Buffer, { connection }: { connection: { write(text: string): unknown } }) => {
          connection.write("\0\0\0\0garbage instead of a frame");
          return new Promise(() => undefined);
        },
      },
    };
    await using engine = new FakeEngine({ code });
    await using pool = SandboxPool.create({ engine, memoryMb: 50 });
    const sandbox = await pool.acquire(specOf("garbage"));
    await failsWith(sandbox.call(callOf(0)), "OL_SANDBOX_PROTOCOL");
    expect((await sandbox.exited).reason).toBe("killed");
    await pool.acquire(specOf("echo"));
  });
});
