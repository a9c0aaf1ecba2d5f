import { describe, expect, it, onTestFinished, vi } from "vitest";

import { bundleError } from "@ol/bundle";

import { deferred } from "@ol/common";

import { makeRig, resultOf } from "../harness.ts";

const answers = (value: unknown) => ({ call: () => value });

/** Turns the clock by hand; input and output go on as ever. */
const holdClock = (): void => {
  vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
};

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

describe("a function's code", () => {
  it("is asked for once by many first calls", async () => {
    const rig = makeRig({ code: { a: answers(1) } });
    await Promise.all(Array.from({ length: 10 }, () => rig.result("a")));
    expect(rig.source.resolved).toBe(1);
    expect(rig.source.checked).toBe(0);
  });

  it("is not asked about within the first half of the cache time", async () => {
    holdClock();
    const rig = makeRig({ code: { a: answers(1) }, registryCacheMs: 1_000 });
    await rig.result("a");
    vi.advanceTimersByTime(499);
    await rig.result("a");
    expect(rig.source.checked).toBe(0);
  });

  it("is checked beside the calls in the second half, which holds none of them up", async () => {
    holdClock();
    const rig = makeRig({ code: { a: answers("old"), b: answers("new") }, registryCacheMs: 1_000 });
    await rig.result("a");
    rig.source.lambdas.set("a", { dir: "b" });
    const held = deferred<void>();
    rig.source.before = () => held.promise;
    vi.advanceTimersByTime(600);
    expect(await rig.result("a")).toBe('"old"');
    rig.source.before = () => undefined;
    held.resolve();
    await turns(3);
    expect(await rig.result("a")).toBe('"new"');
  });

  it("that is older than the cache time is checked before the next call runs", async () => {
    holdClock();
    const rig = makeRig({ code: { a: answers("old"), b: answers("new") }, registryCacheMs: 1_000 });
    await rig.result("a");
    rig.source.lambdas.set("a", { dir: "b" });
    vi.advanceTimersByTime(1_001);
    expect(await rig.result("a")).toBe('"new"');
  });

  it("that changes loses no call: those that run finish on the old, later ones get the new", async () => {
    const held = deferred<string>();
    const old = { call: () => held.promise };
    const rig = makeRig({ code: { a: old, b: answers("new") }, registryCacheMs: 0 });
    const first = rig.call("a");
    await expect.poll(() => rig.manager.load().busy).toBe(1);
    rig.source.lambdas.set("a", { dir: "b" });
    expect(await rig.result("a")).toBe('"new"');
    held.resolve("old");
    expect(resultOf(await first.outcome)).toBe('"old"');
    await expect.poll(() => rig.pool.stats().sandboxes).toBe(1);
    expect(rig.source.held.get("a")).toBe(0);
    expect(rig.source.held.get("b")).toBe(1);
  });

  it("that cannot be loaded answers every call with Python's text, from one attempt", async () => {
    const load = vi.fn<() => void>(() => {
      throw new Error('File "/handler/f.py", line 1\nSyntaxError: invalid syntax');
    });
    const rig = makeRig({ code: { a: { load, call: () => 1 } } });
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => rig.call("a").outcome));
    for (const outcome of outcomes) {
      expect(resultOf(outcome)).toBe("OL_SANDBOX_IMPORT_FAILED");
      expect(outcome).toHaveProperty("error.message", expect.stringContaining("line 1\nSyntaxError"));
    }
    expect(await rig.result("a")).toBe("OL_SANDBOX_IMPORT_FAILED");
    expect(load).toHaveBeenCalledTimes(1);
  });

  it("that could not be loaded works as soon as it was mended", async () => {
    holdClock();
    const broken = {
      load: () => {
        throw new Error("SyntaxError");
      },
      call: () => 1,
    };
    const rig = makeRig({ code: { a: broken, b: answers("mended") } });
    expect(await rig.result("a")).toBe("OL_SANDBOX_IMPORT_FAILED");
    rig.source.lambdas.set("a", { dir: "b" });
    vi.advanceTimersByTime(201);
    expect(await rig.result("a")).toBe('"mended"');
  });

  it("that could not be loaded is tried again after the cache time, since the cause may have passed", async () => {
    holdClock();
    let attempts = 0;
    const load = () => {
      attempts += 1;
      if (attempts === 1) throw new Error("OSError: network is unreachable");
    };
    const rig = makeRig({ code: { a: { load, call: () => "works" } }, registryCacheMs: 1_000 });
    expect(await rig.result("a")).toBe("OL_SANDBOX_IMPORT_FAILED");
    vi.advanceTimersByTime(500);
    expect(await rig.result("a")).toBe("OL_SANDBOX_IMPORT_FAILED");
    vi.advanceTimersByTime(501);
    expect(await rig.result("a")).toBe('"works"');
  });

  it("with a mistake in ol.yaml is answered with the mistake until it is gone", async () => {
    holdClock();
    const rig = makeRig({ code: { a: answers("works") } });
    rig.source.lambdas.set("a", bundleError("OL_BUNDLE_BAD_CONFIG", "ol.yaml:3: limit: is not a known key"));
    const { outcome } = rig.call("a");
    expect(await outcome).toHaveProperty("error.message", "ol.yaml:3: limit: is not a known key");
    rig.source.lambdas.set("a", { dir: "a" });
    vi.advanceTimersByTime(201);
    expect(await rig.result("a")).toBe('"works"');
  });

  it("stays in use while the registry cannot be reached", async () => {
    const rig = makeRig({ code: { a: answers(1) }, registryCacheMs: 0 });
    await rig.result("a");
    rig.source.lambdas.set("a", new Error("ECONNREFUSED"));
    expect(await rig.result("a")).toBe("1");
  });

  it("that was removed is answered with 404 and nothing of it is kept", async () => {
    const rig = makeRig({ code: { a: answers(1) }, registryCacheMs: 0 });
    await rig.result("a");
    rig.source.lambdas.delete("a");
    expect(await rig.result("a")).toBe("OL_LAMBDA_UNKNOWN");
    expect(rig.manager.stats().functions).toEqual([]);
    expect(rig.source.held.get("a")).toBe(0);
    await expect.poll(() => rig.pool.stats().sandboxes).toBe(0);
  });

  it("that is away for a moment, as when it is removed and copied anew, is not taken for removed", async () => {
    const rig = makeRig({ code: { a: answers("old"), b: answers("new") }, registryCacheMs: 0 });
    await rig.result("a");
    rig.source.lambdas.delete("a");
    const call = rig.result("a");
    await expect.poll(() => rig.source.checked).toBe(1);
    rig.source.lambdas.set("a", { dir: "b" });
    expect(await call).toBe('"new"');
  });

  it("says before the body is read which methods it takes and how large a body may be", async () => {
    const rig = makeRig({ code: { a: answers(1) } });
    rig.source.lambdas.set("a", { dir: "a", methods: ["GET"], limits: { bodyMb: 1 } });
    expect(await rig.manager.describe("a")).toEqual({ methods: ["GET"], bodyBytes: 1_048_576 });
    expect(rig.manager.describe("a")).not.toBeInstanceOf(Promise);
  });
});

describe("functions and sandboxes that nobody calls", () => {
  it("are given up after their time, and their code with them", async () => {
    vi.useFakeTimers({ toFake: ["performance", "setInterval", "clearInterval"] });
    onTestFinished(() => void vi.useRealTimers());
    const rig = makeRig({ code: { a: answers(1) }, idleSandboxMs: 10_000, idleFunctionMs: 20_000 });
    await rig.result("a");
    vi.advanceTimersByTime(15_000);
    await turns(5);
    expect(rig.pool.stats().sandboxes).toBe(0);
    expect(rig.manager.stats().functions.length).toBe(1);
    vi.advanceTimersByTime(10_000);
    expect(rig.manager.stats().functions).toEqual([]);
    expect(rig.source.held.get("a")).toBe(0);
    expect(await rig.result("a")).toBe("1");
  });
});
