import { deferred } from "@ol/common";
import { bundleError } from "@ol/bundle";
import type { FakeCode } from "@ol/sandbox/testing";
import { describe, expect, it, onTestFinished, vi } from "vitest";

import { makeRig, type Rig } from "../harness.ts";

const answers = (value: unknown) => ({ call: () => value });
const broken = {
  load: () => {
    throw new Error('File "/handler/f.py", line 1\nSyntaxError: invalid syntax');
  },
  call: () => 1,
};

const holdClock = (): void => {
  vi.useFakeTimers({ toFake: ["performance"] });
  onTestFinished(() => void vi.useRealTimers());
};

const failForFresh = (_id: string, { code }: { readonly code: string }): void => {
  if (code === "fresh") throw new Error("no space left on device");
};

/** How often a sandbox was asked for; beyond many times nobody is given one, so that a circle ends. */
const countAcquires = (rig: Rig): (() => number) => {
  const acquire = rig.pool.acquire.bind(rig.pool);
  const spy = vi.spyOn(rig.pool, "acquire").mockImplementation((...asked) => {
    return spy.mock.calls.length > 100 ? new Promise(() => undefined) : acquire(...asked);
  });
  return () => spy.mock.calls.length;
};

const statsOf = (rig: Rig) => rig.manager.stats().functions[0];

describe("new code beside code that works", () => {
  it("that cannot be loaded leaves the old serving, and says so", async () => {
    const rig = makeRig({ code: { old: answers("old"), broken }, registryCacheMs: 0 });
    rig.source.lambdas.set("a", { dir: "old" });
    expect(await rig.result("a")).toBe('"old"');
    rig.source.lambdas.set("a", { dir: "broken" });
    for (let call = 0; call < 5; call += 1) expect(await rig.result("a")).toBe('"old"');
    expect(statsOf(rig)).toMatchObject({ code: "good", digest: "old" });
    expect(statsOf(rig)?.fault).toContain("SyntaxError: invalid syntax");
    expect(rig.created()).toBe(2);
    expect(rig.source.held.get("broken")).toBe(0);
  });

  it("with a mistake in ol.yaml leaves the old serving, and is read once", async () => {
    const rig = makeRig({ code: { old: answers("old"), mended: answers("mended") }, registryCacheMs: 0 });
    rig.source.lambdas.set("a", { dir: "old" });
    expect(await rig.result("a")).toBe('"old"');
    rig.source.lambdas.set("a", bundleError("OL_BUNDLE_BAD_CONFIG", "ol.yaml:3: limit: is not a known key"));
    expect(await rig.result("a")).toBe('"old"');
    expect(statsOf(rig)?.fault).toBe("ol.yaml:3: limit: is not a known key");
    rig.source.lambdas.set("a", { dir: "mended" });
    expect(await rig.result("a")).toBe('"mended"');
    expect(statsOf(rig)?.fault).toBeUndefined();
  });

  it("that was broken and is mended is used", async () => {
    const rig = makeRig({
      code: { old: answers("old"), broken, mended: answers("mended") },
      registryCacheMs: 0,
    });
    rig.source.lambdas.set("a", { dir: "old" });
    await rig.result("a");
    rig.source.lambdas.set("a", { dir: "broken" });
    expect(await rig.result("a")).toBe('"old"');
    rig.source.lambdas.set("a", { dir: "mended" });
    expect(await rig.result("a")).toBe('"mended"');
    expect(statsOf(rig)).toMatchObject({ code: "good", digest: "mended", fault: undefined });
    await expect.poll(() => rig.pool.stats().sandboxes).toBe(1);
    expect([...rig.source.held]).toEqual([
      ["old", 0],
      ["broken", 0],
      ["mended", 1],
    ]);
  });

  it("that is broken is not tried again for each call, but after a minute", async () => {
    holdClock();
    const load = vi.fn<() => void>(broken.load);
    const rig = makeRig({ code: { old: answers("old"), bad: { load, call: () => 1 } }, registryCacheMs: 0 });
    rig.source.lambdas.set("a", { dir: "old" });
    await rig.result("a");
    rig.source.lambdas.set("a", { dir: "bad" });
    for (let call = 0; call < 20; call += 1) {
      expect(await rig.result("a")).toBe('"old"');
      vi.advanceTimersByTime(100);
    }
    expect(load).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(60_000);
    for (let call = 0; call < 3; call += 1) expect(await rig.result("a")).toBe('"old"');
    expect(load).toHaveBeenCalledTimes(2);
  });

  it("that asks for more memory than there is leaves the old serving, says so, and is asked for once", async () => {
    const held = deferred<string>();
    const old = { call: (event: Buffer) => (event.toString() === '"wait"' ? held.promise : "old") };
    const rig = makeRig({
      code: { old, fresh: answers("new") },
      memoryMb: 100,
      slots: 1,
      registryCacheMs: 0,
    });
    const asked = countAcquires(rig);
    rig.source.lambdas.set("a", { dir: "old" });
    const first = rig.result("a", "wait");
    await expect.poll(() => rig.manager.stats().functions[0]?.kind).toBe("function");
    rig.source.lambdas.set("a", { dir: "fresh", limits: { memoryMb: 1_000 } });
    const second = rig.result("a");
    await expect.poll(() => statsOf(rig)?.fault).toContain("1000 MB");
    held.resolve("done");
    expect([await first, await second, await rig.result("a")]).toEqual(['"done"', '"old"', '"old"']);
    expect(asked()).toBe(2);
    expect(rig.source.held.get("fresh")).toBe(0);
  });

  it("that ends its process while it is loaded is tried at a pace, however many calls wait", async () => {
    const held = deferred<string>();
    const dies: FakeCode = {
      load: ({ exit }) => new Promise(() => setImmediate(() => exit({ reason: "exit", code: 1 }))),
      call: () => 1,
    };
    const rig = makeRig({ code: { old: { call: () => held.promise }, dies }, slots: 1, registryCacheMs: 0 });
    rig.source.lambdas.set("a", { dir: "old" });
    const first = rig.result("a");
    await expect.poll(() => rig.manager.stats().functions[0]?.kind).toBe("function");
    rig.source.lambdas.set("a", { dir: "dies" });
    const second = rig.call("a");
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(rig.created()).toBeLessThanOrEqual(3);
    expect(second.sink.outcomes).toBe(0);
    held.resolve("old");
    expect(await first).toBe('"old"');
  });

  it("that no sandbox can be had for costs no call that the old can run", async () => {
    const rig = makeRig({
      code: { old: answers("old"), fresh: answers("new") },
      registryCacheMs: 0,
      queueTimeoutMs: 20_000,
      engine: { beforeCreate: failForFresh },
    });
    rig.source.lambdas.set("a", { dir: "old" });
    await rig.result("a");
    rig.engine.end(rig.pool.sandboxes()[0]?.id ?? "", { reason: "exit", code: 1 });
    await expect.poll(() => rig.pool.stats().sandboxes).toBe(0);
    rig.source.lambdas.set("a", { dir: "fresh" });
    expect(await rig.result("a")).toBe('"old"');
  });

  it("changed back to what runs leaves that running", async () => {
    const rig = makeRig({ code: { old: answers("old"), broken }, registryCacheMs: 0 });
    rig.source.lambdas.set("a", { dir: "old" });
    await rig.result("a");
    rig.source.lambdas.set("a", { dir: "broken" });
    await rig.result("a");
    rig.source.lambdas.set("a", { dir: "old" });
    expect(await rig.result("a")).toBe('"old"');
    expect(statsOf(rig)?.fault).toBeUndefined();
    expect(rig.created()).toBe(2);
  });

  it("that loads slowly is waited for, but not longer than two seconds", async () => {
    const held = deferred<void>();
    const slow = { load: () => held.promise, call: () => "new" };
    const rig = makeRig({ code: { old: answers("old"), slow }, registryCacheMs: 0, queueTimeoutMs: 20_000 });
    rig.source.lambdas.set("a", { dir: "old" });
    await rig.result("a");
    rig.source.lambdas.set("a", { dir: "slow" });
    const startedMs = performance.now();
    expect(await rig.result("a")).toBe('"old"');
    expect(performance.now() - startedMs).toBeGreaterThan(1_900);
    expect(await rig.result("a")).toBe('"old"');
    held.resolve();
    await expect.poll(() => rig.result("a")).toBe('"new"');
  });

  it("gets memory from the old when there is none left, and no call is lost", async () => {
    const rig = makeRig({
      code: { old: answers("old"), fresh: answers("new") },
      memoryMb: 50,
      registryCacheMs: 100,
    });
    rig.source.lambdas.set("a", { dir: "old" });
    await rig.result("a");
    rig.source.lambdas.set("a", { dir: "fresh" });
    const results: string[] = [];
    const endMs = performance.now() + 1_000;
    const client = async (): Promise<void> => {
      while (performance.now() < endMs) results.push(await rig.result("a"));
    };
    await Promise.all([client(), client(), client()]);
    expect(new Set(results)).toEqual(new Set(['"old"', '"new"']));
    expect(results.slice(results.indexOf('"new"'))).not.toContain('"old"');
  });

  it("under load takes over without a failed call, and no call sees the old again", async () => {
    const code = Object.fromEntries(Array.from({ length: 6 }, (_, at) => [`v${at}`, answers(at)]));
    const rig = makeRig({ code, registryCacheMs: 50 });
    rig.source.lambdas.set("a", { dir: "v0" });
    const over = new AbortController();
    const seen: number[][] = [];
    const client = async (): Promise<void> => {
      const own: number[] = [];
      seen.push(own);
      while (!over.signal.aborted) own.push(Number(await rig.result("a")));
    };
    const clients = Array.from({ length: 8 }, client);
    for (let at = 1; at < 6; at += 1) {
      await new Promise((resolve) => setTimeout(resolve, 150));
      rig.source.lambdas.set("a", { dir: `v${at}` });
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
    over.abort();
    await Promise.all(clients);
    for (const own of seen) {
      expect(own).toEqual(own.toSorted((one, other) => one - other));
      expect(own.at(-1)).toBe(5);
    }
    // On a busy machine one may be passed over.
    const leftOver = () => [...rig.source.held].filter(([, held]) => held > 0);
    await expect.poll(() => leftOver()).toEqual([["v5", 1]]);
  });

  it("takes a sandbox of the old away to have its own, and makes no more of them than it is to keep warm", async () => {
    const held = deferred<void>();
    const slow = { load: () => held.promise, call: () => "new" };
    const rig = makeRig({ code: { old: answers("old"), slow }, memoryMb: 150, registryCacheMs: 0 });
    rig.source.lambdas.set("a", { dir: "old", limits: { memoryMb: 120 } });
    await rig.result("a");
    rig.source.lambdas.set("a", { dir: "slow", config: { minInstances: 2, maxInstances: 2 } });
    const call = rig.result("a");
    await expect.poll(() => rig.pool.stats().evicted).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(rig.created()).toBe(3);
    held.resolve();
    expect(await call).toBe('"new"');
  });
});
