import { deferred } from "@ol/common";
import { describe, expect, it, onTestFinished } from "vitest";

import {
  type EvictionSnapshot,
  type Evictor,
  type PoolOptions,
  type ReplySink,
  type Sandbox,
  SandboxPool,
  type SandboxSpec,
  isNotStarted,
} from "../../src/index.ts";
import { callOf, failsWith, resultOf, specOf } from "../../src/testing/conformance-kit.ts";
import { FakeEngine, type FakeEngineOptions } from "../../src/testing/index.ts";

const sized = (memoryMb: number, code = "echo"): SandboxSpec => ({
  ...specOf(code),
  limits: { ...specOf(code).limits, memoryMb },
});

const MIB = 1_048_576;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A pool of 100 MB over a fake engine, whose paused sandboxes hold 10 MB. */
const makePool = (options: Partial<PoolOptions> = {}, engineOptions: FakeEngineOptions = {}): SandboxPool => {
  const engine = new FakeEngine({ memoryBytes: () => 10 * MIB, ...engineOptions });
  const pool = SandboxPool.create({ engine, memoryMb: 100, ...options });
  onTestFinished(async () => {
    await pool.close();
    await engine.close();
  });
  return pool;
};

const SILENT_SINK: ReplySink = {
  whole: () => undefined,
  start: () => undefined,
  chunk: () => true,
  end: () => undefined,
  fail: () => undefined,
};

const readyOne = async (pool: SandboxPool, memoryMb: number, code?: string): Promise<Sandbox> => {
  const sandbox = await pool.acquire(sized(memoryMb, code));
  await sandbox.ready;
  return sandbox;
};

/** Paused, and what it does not hold is lent out. */
const pausedOne = async (pool: SandboxPool, memoryMb: number, code?: string): Promise<Sandbox> => {
  const sandbox = await readyOne(pool, memoryMb, code);
  expect(await sandbox.pause()).toBe(true);
  await turn();
  return sandbox;
};

const zygote = (parent?: string) => ({
  ...(parent !== undefined && { parent }),
  network: "none" as const,
  packages: [],
  modules: [],
  limits: specOf("echo").limits,
});

describe("a pool without memory left", () => {
  it("destroys the sandbox that has been idle for the longest time", async () => {
    const pool = makePool();
    const [one, two] = [await readyOne(pool, 50), await readyOne(pool, 50)];
    two.markIdle();
    await turn();
    one.markIdle();
    const events: string[] = [];
    pool.on("evict", ({ id }) => events.push(`evict ${id}`));
    pool.on("destroying", ({ id }) => events.push(`destroying ${id}`));
    pool.on("destroy", ({ id }) => events.push(`destroy ${id}`));
    await pool.acquire(sized(50));
    expect(events).toEqual([`evict ${two.id}`, `destroying ${two.id}`, `destroy ${two.id}`]);
    expect([one.ended, pool.stats().evicted]).toEqual([undefined, 1]);
  });

  it("keeps those that were not said to be idle, and those that were called again", async () => {
    const pool = makePool();
    const [kept, called] = [await readyOne(pool, 50), await readyOne(pool, 50)];
    called.markIdle();
    expect(await resultOf(called, 1)).toBe(1);
    await failsWith(pool.acquire(sized(50), { deadlineMs: 20 }), "OL_SANDBOX_NO_MEMORY");
    expect([kept.ended, called.ended]).toEqual([undefined, undefined]);
  });

  it("takes a sandbox in the moment it becomes idle, if somebody waits", async () => {
    const pool = makePool();
    const sandbox = await readyOne(pool, 100);
    const waiting = pool.acquire(sized(10));
    sandbox.markIdle();
    expect(sandbox.ended?.code).toBe("OL_SANDBOX_DESTROYED");
    const error = await failsWith(sandbox.call(callOf(1)), "OL_SANDBOX_DESTROYED");
    expect(isNotStarted(error)).toBe(true);
    await waiting;
  });

  it("shows the evictor what runs, how often it was used, and how long it and its code took to make", async () => {
    const seen: EvictionSnapshot[] = [];
    const evictor: Evictor = (snapshot) => {
      seen.push(snapshot);
      return snapshot.sandboxes.map(({ id }) => id);
    };
    const loadMs = 40;
    const pool = makePool({ evictor }, { code: { slow: { load: () => sleep(loadMs), call: () => 1 } } });
    const one = await readyOne(pool, 80, "slow");
    expect([await resultOf(one, 1), await resultOf(one, 2)]).toEqual([1, 1]);
    expect(pool.hasRoom(80)).toBe(true);
    expect(one.ended).toBeUndefined();
    await pool.acquire(sized(80));
    expect(seen.map(({ trial }) => trial)).toEqual([true, false]);
    const [shown] = seen[1]?.sandboxes ?? [];
    expect(shown).toMatchObject({ id: one.id, name: one.meta.name, uses: 2, memoryMb: 80 });
    expect(shown?.makeMs).toBeGreaterThanOrEqual(loadMs - 1);
  });

  it("asks the evictor it was given, and survives one that throws", async () => {
    const seen: number[] = [];
    const pool = makePool({
      evictor: ({ missingMb, sandboxes }) => {
        seen.push(missingMb);
        if (missingMb > 40) throw new Error("too much for this one");
        return ["no-such-sandbox", ...sandboxes.map(({ id }) => id)];
      },
    });
    const running = await readyOne(pool, 80, "sleep");
    const call = failsWith(running.call(callOf(30)), "OL_SANDBOX_DESTROYED");
    await failsWith(pool.acquire(sized(80), { deadlineMs: 10 }), "OL_SANDBOX_NO_MEMORY");
    await pool.acquire(sized(60));
    await call;
    expect(seen).toEqual([60, 40]);
  });

  it("says whether there is room, or could be", async () => {
    const pool = makePool();
    const sandbox = await readyOne(pool, 60);
    expect([pool.hasRoom(40), pool.hasRoom(41)]).toEqual([true, false]);
    sandbox.markIdle();
    expect([pool.hasRoom(100), pool.hasRoom(101)]).toEqual([true, false]);
    expect(sandbox.ended).toBeUndefined();
  });
});

describe("a paused sandbox", () => {
  it("is promised what it holds, and others get the rest", async () => {
    const pool = makePool();
    await pausedOne(pool, 90);
    expect(pool.stats().promisedMb).toBe(10);
    await pool.acquire(sized(90));
    expect(pool.stats()).toMatchObject({ promisedMb: 100, evicted: 0 });
  });

  it("has all of its memory again before it runs, and waits for that", async () => {
    const pool = makePool();
    const paused = await pausedOne(pool, 90);
    const other = await readyOne(pool, 90);
    const reply = resultOf(paused, "late");
    await turn();
    expect([paused.state, pool.stats().waiting]).toEqual(["resuming", 1]);
    await other.destroy();
    expect(await reply).toBe("late");
    expect(pool.stats().promisedMb).toBe(90);
  });

  it("has idle ones evicted for what it lent out", async () => {
    const pool = makePool();
    const paused = await pausedOne(pool, 90);
    const other = await readyOne(pool, 90);
    other.markIdle();
    expect(await resultOf(paused, "here")).toBe("here");
    expect(other.ended?.code).toBe("OL_SANDBOX_DESTROYED");
  });

  it("stays paused when its memory does not come back in time, and the call was not started", async () => {
    const pool = makePool({ resumeMs: 20 });
    const paused = await pausedOne(pool, 90);
    const other = await readyOne(pool, 90);
    const error = await failsWith(paused.call(callOf(1)), "OL_SANDBOX_NO_MEMORY");
    expect([isNotStarted(error), paused.state]).toEqual([true, "paused"]);
    await other.destroy();
    expect(await resultOf(paused, 2)).toBe(2);
  });

  it("does not forget a call that comes in the moment in which another one was refused for want of memory", async () => {
    const pool = makePool({ resumeMs: 20 });
    const paused = await pausedOne(pool, 90);
    const other = await readyOne(pool, 90);
    const seconds: Promise<unknown>[] = [];
    const refused = deferred<void>();
    paused.invoke(callOf(1), {
      ...SILENT_SINK,
      fail: () => {
        seconds.push(failsWith(paused.call(callOf(2)), "OL_SANDBOX_NO_MEMORY"));
        refused.resolve();
      },
    });
    await refused.promise;
    await Promise.all(seconds);
    await other.destroy();
    expect(await resultOf(paused, 3)).toBe(3);
  });

  it("is idle again, and can go, when the call was given up for which it is resumed", async () => {
    const resumed = deferred<void>();
    const pool = makePool({}, { beforeResume: () => resumed.promise });
    const paused = await pausedOne(pool, 60);
    const handle = paused.invoke(callOf(1), SILENT_SINK);
    await turn();
    handle.cancel();
    paused.markIdle();
    expect(paused.idle).toBe(true);
    const other = pool.acquire(sized(60));
    await turn();
    expect(pool.stats().waiting).toBe(1);
    resumed.resolve();
    expect((await other).ended).toBeUndefined();
    expect(paused.ended?.code).toBe("OL_SANDBOX_DESTROYED");
  });

  it("that is destroyed while it waits for memory leaves the line, and its call was not started", async () => {
    const pool = makePool();
    const paused = await pausedOne(pool, 90);
    await readyOne(pool, 90);
    const call = failsWith(paused.call(callOf(1)), "OL_SANDBOX_DESTROYED");
    await turn();
    await paused.destroy();
    expect(isNotStarted(await call)).toBe(true);
    expect(pool.stats()).toMatchObject({ waiting: 0, promisedMb: 90 });
  });

  it("keeps its memory if it cannot be measured, or was resumed before it was", async () => {
    const pool = makePool(
      {},
      {
        memoryBytes: () => {
          throw new Error("no such group");
        },
      },
    );
    await pausedOne(pool, 90);
    expect(pool.stats().promisedMb).toBe(90);
    const other = makePool();
    const sandbox = await readyOne(other, 90);
    await sandbox.pause();
    await sandbox.resume();
    await turn();
    expect(other.stats().promisedMb).toBe(90);
  });
});

describe("a pool with zygotes", () => {
  it("ends childless ones when memory is short, but none that somebody waits to fork from", async () => {
    const pool = makePool();
    await pool.createZygote("parent", zygote());
    const child = await pool.createZygote("child", zygote("parent"));
    const spec = { ...specOf("echo"), zygote: "child", packages: [] };
    await failsWith(pool.acquire(spec, { deadlineMs: 20 }), "OL_SANDBOX_NO_MEMORY");
    expect(pool.stats().zygotes).toBe(2);
    await pool.acquire(specOf("echo"));
    expect(await child.exited).toEqual({ reason: "killed" });
    await failsWith(pool.acquire(spec, { deadlineMs: 20 }), "OL_SANDBOX_NO_ZYGOTE");
    expect(pool.stats()).toMatchObject({ zygotes: 0, promisedMb: 50 });
  });
});
