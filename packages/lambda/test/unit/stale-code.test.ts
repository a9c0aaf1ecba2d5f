import { describe, expect, it, onTestFinished, vi } from "vitest";

import { deferred } from "@ol/common";

import { makeRig, type Rig } from "../harness.ts";

const answers = (value: unknown) => ({ call: () => value });

/** Turns the clock by hand; input and output go on as ever. */
const holdClock = (): void => {
  vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
};

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

const staleSinceOf = (rig: Rig): number | undefined => rig.manager.stats().functions[0]?.staleSinceMs;

describe("code whose registry is down, slow or wrong", () => {
  it("serves on, and the statistics say since when it may be old, until the registry answers again", async () => {
    holdClock();
    const rig = makeRig({ code: { a: answers("old"), b: answers("new") }, registryCacheMs: 1_000 });
    await rig.result("a");
    expect(staleSinceOf(rig)).toBeUndefined();
    const before = Date.now();
    rig.source.lambdas.set("a", new Error("ECONNREFUSED"));
    vi.advanceTimersByTime(1_001);
    expect(await rig.result("a")).toBe('"old"');
    const since = staleSinceOf(rig) as number;
    expect(since).toBeGreaterThanOrEqual(before);
    vi.advanceTimersByTime(1_001);
    expect(await rig.result("a")).toBe('"old"');
    await turns(3);
    // Not since the last failure, but since the first.
    expect(staleSinceOf(rig)).toBe(since);
    rig.source.lambdas.set("a", { dir: "b" });
    vi.advanceTimersByTime(1_001);
    await rig.result("a");
    await turns(5);
    expect(await rig.result("a")).toBe('"new"');
    expect(staleSinceOf(rig)).toBeUndefined();
  });

  it("keeps calls waiting for a silent registry once, for a second at most, and not again while it is silent", async () => {
    holdClock();
    const rig = makeRig({ code: { a: answers("old") }, registryCacheMs: 1_000 });
    await rig.result("a");
    rig.source.before = () => new Promise<void>(() => undefined);
    vi.advanceTimersByTime(1_001);
    const waiting = rig.result("a");
    const described = rig.manager.describe("a");
    await turns(3);
    expect(rig.manager.load().queue).toBe(1);
    vi.advanceTimersByTime(1_000);
    expect(await waiting).toBe('"old"');
    expect(await described).toHaveProperty("bodyBytes");
    expect(staleSinceOf(rig)).toBeDefined();
    vi.advanceTimersByTime(5_000);
    expect(await rig.result("a")).toBe('"old"');
    expect(rig.source.checked).toBe(1);
  });

  it("takes over what a slow registry says once it has said it", async () => {
    holdClock();
    const rig = makeRig({ code: { a: answers("old"), b: answers("new") }, registryCacheMs: 1_000 });
    await rig.result("a");
    const answer = deferred<void>();
    rig.source.before = () => answer.promise;
    rig.source.lambdas.set("a", { dir: "b" });
    vi.advanceTimersByTime(1_001);
    const waiting = rig.result("a");
    vi.advanceTimersByTime(1_000);
    expect(await waiting).toBe('"old"');
    answer.resolve();
    await turns(5);
    expect(await rig.result("a")).toBe('"new"');
    expect(staleSinceOf(rig)).toBeUndefined();
  });

  it("is stale as long as its source says that it could not be confirmed", async () => {
    holdClock();
    const rig = makeRig({ code: { a: answers("known") }, registryCacheMs: 1_000 });
    const resolve = rig.source.resolve.bind(rig.source);
    const unconfirmed = new Error("ECONNREFUSED");
    rig.source.resolve = async (name) => ({ ...(await resolve(name)), unconfirmed });
    expect(await rig.result("a")).toBe('"known"');
    expect(staleSinceOf(rig)).toBeDefined();
    vi.advanceTimersByTime(1_001);
    expect(await rig.result("a")).toBe('"known"');
    await turns(3);
    expect(staleSinceOf(rig)).toBeUndefined();
  });
});
