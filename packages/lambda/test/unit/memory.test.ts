import { deferred } from "@ol/common";
import { describe, expect, it } from "vitest";

import { type Rig, makeRig, resultOf } from "../harness.ts";

const answers = (value: unknown) => ({ call: () => value });
const slow = (ms: number) => ({
  call: () => new Promise((resolve) => setTimeout(() => resolve("slow"), ms)),
});

/** Watches that the promise is kept at every create. */
const watchBudget = (rig: Rig): { most: number } => {
  const seen = { most: 0 };
  rig.pool.on("create", () => (seen.most = Math.max(seen.most, rig.pool.stats().promisedMb)));
  return seen;
};

describe("when memory is short", () => {
  it("idle sandboxes of other functions go, the one unused for longest first", async () => {
    const rig = makeRig({
      code: { a: answers("a"), b: answers("b"), c: answers("c") },
      memoryMb: 100,
    });
    const seen = watchBudget(rig);
    await rig.result("a");
    await rig.result("b");
    await rig.result("a");
    expect(await rig.result("c")).toBe('"c"');
    const left = rig.manager.stats().sandboxes.map((sandbox) => sandbox.lambda);
    expect(left.sort()).toEqual(["a", "c"]);
    expect(seen.most).toBeLessThanOrEqual(100);
  });

  it("many functions share a pool that holds few of them, and each call is answered", async () => {
    const names = Array.from({ length: 20 }, (_, at) => `f${at}`);
    const code = Object.fromEntries(names.map((name) => [name, answers(name)]));
    const rig = makeRig({ code, memoryMb: 150 });
    const seen = watchBudget(rig);
    const calls = [...names, ...names, ...names].map(async (name) => [name, await rig.result(name)]);
    for (const [name, result] of await Promise.all(calls)) expect(result).toBe(`"${name}"`);
    expect(seen.most).toBeLessThanOrEqual(150);
  });

  it("a function without a sandbox is not starved by one that is called all the time", async () => {
    const rig = makeRig({ code: { busy: slow(5), poor: answers("poor") }, memoryMb: 50, slots: 4 });
    const stop = new AbortController();
    const clients = Array.from({ length: 4 }, async () => {
      while (!stop.signal.aborted) expect(await rig.result("busy")).toBe('"slow"');
    });
    await expect.poll(() => rig.manager.stats().calls.answered).toBeGreaterThan(3);
    const startedMs = performance.now();
    expect(await rig.result("poor")).toBe('"poor"');
    expect(performance.now() - startedMs).toBeLessThan(3_000);
    stop.abort();
    await Promise.all(clients);
  });

  it("functions that wait for a slot do not take each other's sandboxes away without end", async () => {
    const held = deferred<string>();
    const code = { a: { call: () => held.promise }, b: answers("b"), c: answers("c"), d: answers("d") };
    const rig = makeRig({ code, memoryMb: 100, slots: 1 });
    const first = rig.result("a");
    await expect.poll(() => rig.manager.load().busy).toBe(1);
    const others = ["b", "c", "d"].map((name) => rig.result(name));
    await new Promise((resolve) => setTimeout(resolve, 250));
    // A sandbox that is wanted elsewhere stays for a tenth of a second first.
    expect(rig.created()).toBeLessThanOrEqual(8);
    held.resolve("a");
    expect(await Promise.all([first, ...others])).toEqual(['"a"', '"b"', '"c"', '"d"']);
    // And it is the pool's again once nothing waits.
    expect(rig.pool.sandboxes().every(({ idle }) => idle)).toBe(true);
  });

  it("a sandbox is the pool's again though the call that waited for a slot with it has left", async () => {
    const held = deferred<string>();
    const rig = makeRig({ code: { a: { call: () => held.promise }, b: answers("b") }, slots: 1 });
    const first = rig.result("a");
    await expect.poll(() => rig.manager.load().busy).toBe(1);
    const second = rig.call("b");
    await expect.poll(() => rig.pool.stats().sandboxes).toBe(2);
    second.invocation.cancel();
    await expect.poll(() => rig.pool.sandboxes().filter(({ idle }) => idle).length).toBe(1);
    held.resolve("a");
    expect(await first).toBe('"a"');
  });

  it("and stays short for the queue's time, the call is refused and was not started", async () => {
    const rig = makeRig({
      code: { busy: slow(300), poor: answers("poor") },
      memoryMb: 50,
      queueTimeoutMs: 50,
    });
    const busy = rig.call("busy");
    await expect.poll(() => rig.manager.load().busy).toBe(1);
    const poor = rig.call("poor");
    expect(await poor.outcome).toHaveProperty("error.status", 503);
    expect(poor.invocation.started).toBe(false);
    expect(resultOf(await busy.outcome)).toBe('"slow"');
  });

  it("a sandbox larger than the whole pool is refused at once", async () => {
    const rig = makeRig({ code: { a: answers(1) }, memoryMb: 40 });
    expect(await rig.result("a")).toBe("OL_SANDBOX_TOO_LARGE");
  });
});

describe("when a sandbox cannot be made", () => {
  it("the calls that wait for it are told, and the next call tries again", async () => {
    let broken = true;
    const rig = makeRig({
      code: { a: answers(1) },
      engine: {
        beforeCreate: () => {
          if (broken) throw new Error("no space left on device");
        },
      },
    });
    const results = await Promise.all([rig.result("a"), rig.result("a")]);
    expect(results).toEqual(Array(2).fill("OL_SANDBOX_CREATE_FAILED"));
    broken = false;
    expect(await rig.result("a")).toBe("1");
  });
});
