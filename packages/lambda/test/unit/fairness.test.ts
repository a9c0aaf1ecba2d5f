import { deferred } from "@ol/common";
import type { FakeReply, FakeRequest } from "@ol/sandbox/testing";
import { describe, expect, it, vi } from "vitest";

import { makeRig, resultOf } from "../harness.ts";

const sleeps = (ms: number) => ({ call: () => new Promise((resolve) => setTimeout(() => resolve(1), ms)) });

const slowLoad = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 200));

/** Answers when told to. */
const holding = () => {
  const held = deferred<void>();
  let begun = 0;
  const app = async (_request: FakeRequest, reply: FakeReply): Promise<void> => {
    begun += 1;
    await held.promise;
    reply.start(200);
    await reply.end(Buffer.from("done"));
  };
  return { code: { kind: "asgi" as const, app }, begun: () => begun, end: held.resolve };
};

describe("between functions", () => {
  it("a hot one leaves room in the worker's queue to every other", async () => {
    const never = { call: () => new Promise(() => undefined) };
    const names = ["b", "c", "d"];
    const rig = makeRig({ code: { hot: never, b: never, c: never, d: never }, maxQueued: 100, slots: 1 });
    const waiting = Array.from({ length: 200 }, () => rig.call("hot"));
    await expect.poll(() => rig.manager.stats().running).toBe(1);
    const refused = waiting.filter(({ sink }) => sink.outcomes > 0);
    expect(refused.length).toBeGreaterThanOrEqual(149);
    const outcomes = await Promise.all(refused.map(({ outcome }) => outcome));
    expect(new Set(outcomes.map(resultOf))).toEqual(new Set(["OL_LAMBDA_WORKER_FULL"]));
    for (const name of names) {
      const own = Array.from({ length: 5 }, () => rig.call(name));
      expect(own.filter(({ sink }) => sink.outcomes > 0)).toEqual([]);
    }
  });

  it("slots go round: a quick call waits for one slow call, not for all that wait", async () => {
    const rig = makeRig({ code: { hot: sleeps(20), cold: sleeps(1) }, slots: 2 });
    const hot = Array.from({ length: 40 }, () => rig.result("hot"));
    await expect.poll(() => rig.manager.stats().running).toBe(2);
    const order: string[] = [];
    void Promise.all(hot).then(() => order.push("hot"));
    const cold = Array.from({ length: 5 }, () => rig.result("cold"));
    await Promise.all(cold);
    expect(order).toEqual([]);
    const left = rig.manager.stats().functions.find(({ name }) => name === "hot");
    expect(left?.queued).toBeGreaterThan(15);
    expect(await Promise.all(hot)).toEqual(Array(40).fill("1"));
  });
});

describe("functions that are slow to load, with memory for half of them", () => {
  it("do not end each other's sandboxes before they were of use", async () => {
    const names = ["a", "b", "c", "d", "e", "f"];
    const slow = Object.fromEntries(names.map((name) => [name, { load: slowLoad, ...sleeps(5) }]));
    const rig = makeRig({ code: slow, slots: 2, memoryMb: 150, queueTimeoutMs: 20_000 });
    const unused: string[] = [];
    rig.pool.on("destroy", ({ meta, uses }) => {
      if (uses === 0) unused.push(meta.name);
    });
    const calls = [...names, ...names].map((name) => rig.result(name));
    expect(await Promise.all(calls)).toEqual(Array(12).fill("1"));
    expect(unused).toEqual([]);
    expect(rig.created()).toBe(6);
  });
});

describe("apps that run several requests at once", () => {
  it("do not wait for each other once nobody else waits for a slot", async () => {
    const [one, two, other] = [holding(), holding(), holding()];
    const code = { one: one.code, two: two.code, other: other.code, quick: sleeps(1) };
    const rig = makeRig({ code, slots: 3, queueTimeoutMs: 20_000 });
    // Otherwise a circle would have no end.
    const wait = rig.manager.slots.wait.bind(rig.manager.slots);
    const waits = vi.spyOn(rig.manager.slots, "wait").mockImplementation((waiter) => {
      if (waits.mock.calls.length < 10_000) wait(waiter);
    });
    for (const name of ["one", "two"])
      rig.source.lambdas.set(name, { dir: name, config: { concurrency: 2 } });
    await rig.result("quick");
    const first = ["one", "two", "other"].map((name) => rig.result(name));
    await expect.poll(() => [one.begun(), two.begun(), other.begun()]).toEqual([1, 1, 1]);
    const leaver = rig.call("quick");
    const second = [rig.result("one"), rig.result("two")];
    await new Promise((resolve) => setTimeout(resolve, 30));
    // Who stands in line for a slot comes first.
    expect([one.begun(), two.begun()]).toEqual([1, 1]);
    leaver.invocation.cancel();
    other.end();
    await expect.poll(() => [one.begun(), two.begun()]).toEqual([2, 2]);
    expect(waits.mock.calls.length).toBeLessThan(100);
    one.end();
    two.end();
    expect(await Promise.all([...first, ...second])).toEqual(Array(5).fill("done"));
  });
});

describe("a call's own deadline", () => {
  it("refuses it when it is over, though others wait longer, and never runs it", async () => {
    const seen: unknown[] = [];
    const call = (event: Buffer): Promise<unknown> => {
      seen.push(JSON.parse(event.toString()));
      return new Promise((resolve) => setTimeout(() => resolve(1), 60));
    };
    const rig = makeRig({ code: { a: { call } }, slots: 1 });
    const first = rig.result("a", "first");
    await expect.poll(() => seen).toEqual(["first"]);
    const patient = rig.result("a", "patient");
    const hasty = rig.call("a", "hasty", 15);
    expect(resultOf(await hasty.outcome)).toBe("OL_LAMBDA_QUEUE_TIMEOUT");
    expect(hasty.invocation.started).toBe(false);
    expect([await first, await patient]).toEqual(["1", "1"]);
    expect(seen).toEqual(["first", "patient"]);
  });

  it("counts at the moment when a sandbox is free, to the millisecond", async () => {
    const seen: unknown[] = [];
    const call = (event: Buffer): unknown => {
      seen.push(JSON.parse(event.toString()));
      // Nothing else of this process runs meanwhile, timers included.
      const endMs = performance.now() + 30;
      while (performance.now() < endMs);
      return 1;
    };
    const rig = makeRig({ code: { a: { call } }, slots: 1 });
    await rig.result("a", "warm");
    const first = rig.result("a", "first");
    const late = rig.call("a", "late", 20);
    expect(await first).toBe("1");
    expect(resultOf(await late.outcome)).toBe("OL_LAMBDA_QUEUE_TIMEOUT");
    expect(seen).toEqual(["warm", "first"]);
  });
});
