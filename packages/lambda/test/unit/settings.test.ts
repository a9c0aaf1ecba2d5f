import type { FakeCode, FakeReply, FakeRequest } from "@ol/sandbox/testing";
import { describe, expect, it, onTestFinished, vi } from "vitest";

import { type FakeVersion, makeRig, type Rig } from "../harness.ts";

const answers = (value: unknown) => ({ call: () => value });

/** A function whose calls end when told to. */
const gate = () => {
  const waiting: (() => void)[] = [];
  return {
    code: { call: () => new Promise<string>((resolve) => waiting.push(() => resolve("done"))) },
    started: () => waiting.length,
    open: () => waiting.splice(0).forEach((release) => release()),
  };
};

const breaksOff = async (_request: FakeRequest, reply: FakeReply): Promise<void> => {
  reply.start(200);
  await reply.write(Buffer.from("some"));
  throw new Error("no more");
};

const configure = (rig: Rig, name: string, config: FakeVersion["config"]): void =>
  void rig.source.lambdas.set(name, { dir: name, ...(config === undefined ? {} : { config }) });

describe("reuse-sandbox: false", () => {
  it("gives each call a sandbox of its own, which is destroyed after it", async () => {
    const seen: number[] = [];
    const call = (_: Buffer, { state }: { state: Record<string, unknown> }): number => {
      state["calls"] = Number(state["calls"] ?? 0) + 1;
      seen.push(Number(state["calls"]));
      return 1;
    };
    const rig = makeRig({ code: { a: { call } } });
    configure(rig, "a", { reuseSandbox: false });
    await Promise.all(Array.from({ length: 20 }, () => rig.result("a")));
    for (let count = 0; count < 5; count += 1) expect(await rig.result("a")).toBe("1");
    expect(seen).toEqual(Array(25).fill(1));
    expect(rig.created()).toBe(25);
    await expect.poll(() => rig.pool.stats().sandboxes).toBe(0);
  });

  it("holds for a call too whose client left while its sandbox loaded the code", async () => {
    const held = gate();
    const rig = makeRig({ code: { a: held.code } });
    configure(rig, "a", { reuseSandbox: false });
    const first = rig.call("a");
    await expect.poll(() => rig.manager.load().busy).toBe(1);
    first.invocation.cancel();
    await expect.poll(() => held.started()).toBe(1);
    held.open();
    await expect.poll(() => rig.manager.load().busy).toBe(0);
    const second = rig.result("a");
    await expect.poll(() => held.started()).toBe(1);
    held.open();
    expect(await second).toBe('"done"');
    expect(rig.created()).toBe(2);
  });

  it("holds for a call too whose app failed in the middle of its reply", async () => {
    const rig = makeRig({ code: { a: { kind: "wsgi", app: breaksOff } } });
    configure(rig, "a", { reuseSandbox: false });
    for (let count = 1; count <= 3; count += 1) {
      expect(await rig.result("a")).toBe("OL_SANDBOX_APP_FAILED");
      expect(rig.created()).toBe(count);
    }
  });
});

describe("max_instances", () => {
  it("is how many calls run at once, whatever the worker has slots for", async () => {
    const held = gate();
    const rig = makeRig({ code: { a: held.code } });
    configure(rig, "a", { maxInstances: 2 });
    const calls = Array.from({ length: 6 }, () => rig.result("a"));
    await expect.poll(() => held.started()).toBe(2);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(held.started()).toBe(2);
    expect(rig.created()).toBe(2);
    const opening = setInterval(() => held.open(), 1);
    expect(await Promise.all(calls)).toEqual(Array(6).fill('"done"'));
    clearInterval(opening);
    expect(rig.created()).toBe(2);
  });
});

describe("queue", () => {
  it("is how many calls wait; one more is refused with 429", async () => {
    const held = gate();
    const rig = makeRig({ code: { a: held.code } });
    configure(rig, "a", { queue: 2, maxInstances: 1 });
    const first = rig.result("a");
    await expect.poll(() => held.started()).toBe(1);
    const waiting = [rig.result("a"), rig.result("a")];
    expect(await rig.result("a")).toBe("OL_LAMBDA_QUEUE_FULL");
    const opening = setInterval(() => held.open(), 1);
    expect(await Promise.all([first, ...waiting])).toEqual(Array(3).fill('"done"'));
    clearInterval(opening);
  });

  it("of 0 still lets a call run that finds a sandbox idle", async () => {
    const rig = makeRig({ code: { a: answers(1) } });
    configure(rig, "a", { queue: 0, minInstances: 1 });
    await rig.manager.keepWarm();
    await expect.poll(() => rig.manager.stats().functions[0]?.instances).toEqual({ idle: 1 });
    expect(await rig.result("a")).toBe("1");
  });

  it("of 0 lets a call start a sandbox where there is none", async () => {
    const rig = makeRig({ code: { a: answers(1) } });
    configure(rig, "a", { queue: 0 });
    expect(await rig.result("a")).toBe("1");
    rig.engine.end(rig.pool.sandboxes()[0]?.id ?? "", { reason: "exit", code: 1 });
    await expect.poll(() => rig.pool.stats().sandboxes).toBe(0);
    expect(await rig.result("a")).toBe("1");
  });

  it("that is full does not keep new code from being found", async () => {
    const rig = makeRig({ code: { a: gate().code, b: answers("new") }, registryCacheMs: 0 });
    configure(rig, "a", { queue: 0 });
    const first = rig.call("a");
    await expect.poll(() => rig.manager.load().busy).toBe(1);
    rig.source.lambdas.set("a", { dir: "b" });
    expect(await rig.result("a")).toBe("OL_LAMBDA_QUEUE_FULL");
    await expect.poll(() => rig.result("a")).toBe('"new"');
    expect(first.sink.outcomes).toBe(0);
  });
});

describe("a queue of 0", () => {
  it("lets the call in that has the first sandbox made, and after its end the next one, but none beside it", async () => {
    const held = gate();
    const rig = makeRig({ code: { a: held.code } });
    configure(rig, "a", { queue: 0, maxInstances: 1 });
    // What its ol.yaml says is known from then on.
    await rig.manager.describe("a");
    for (let round = 0; round < 2; round += 1) {
      const first = rig.result("a");
      expect(await rig.result("a")).toBe("OL_LAMBDA_QUEUE_FULL");
      await expect.poll(() => held.started()).toBe(1);
      held.open();
      expect(await first).toBe('"done"');
      await rig.pool.sandboxes()[0]?.destroy();
    }
  });
});

const warmRig = async (min: number, options: Parameters<typeof makeRig>[0] = {}): Promise<Rig> => {
  const rig = makeRig({ code: { a: answers("old"), b: answers("new"), other: answers(0) }, ...options });
  configure(rig, "a", { minInstances: min });
  await rig.manager.keepWarm();
  await expect.poll(() => rig.manager.stats().functions[0]?.instances).toEqual({ idle: min });
  return rig;
};

describe("min_instances", () => {
  it("of code that ends its process while it is loaded are not tried again without a pause", async () => {
    const dies: FakeCode = {
      load: ({ exit }) => new Promise(() => setImmediate(() => exit({ reason: "exit", code: 1 }))),
      call: () => 1,
    };
    const rig = makeRig({ code: { a: dies } });
    configure(rig, "a", { minInstances: 1, reuseSandbox: false });
    await rig.manager.keepWarm();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(rig.created()).toBeLessThanOrEqual(2);
  });

  it("are ready before the first call, and functions that ask for none are not", async () => {
    const rig = await warmRig(3);
    expect(rig.created()).toBe(3);
    expect(rig.manager.stats().functions.map(({ name }) => name)).toEqual(["a"]);
    expect(await rig.result("a")).toBe('"old"');
    expect(rig.created()).toBe(3);
  });

  it("spare the first calls a cold start, which is not told or counted as theirs", async () => {
    const rig = await warmRig(1);
    await rig.pool.sandboxes()[0]?.ready;
    const call = rig.call("a");
    await call.outcome;
    expect(call.invocation.phases()).toMatchObject({ memoryMs: 0, forkMs: 0, importMs: 0 });
    expect(rig.manager.stats().calls.cold).toBe(0);
    expect(await rig.result("other")).toBe("0");
    expect(rig.manager.stats().calls.cold).toBe(1);
  });

  it("are not taken back for others' sake, nor for having been idle, nor paused", async () => {
    vi.useFakeTimers({ toFake: ["performance", "setInterval", "clearInterval"] });
    onTestFinished(() => void vi.useRealTimers());
    const rig = await warmRig(2, {
      memoryMb: 150,
      pauseLingerMs: 5,
      idleSandboxMs: 1_000,
      idleFunctionMs: 2_000,
    });
    await rig.result("a");
    expect(await rig.result("other")).toBe("0");
    vi.advanceTimersByTime(60_000);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(rig.manager.stats().functions.find(({ name }) => name === "a")?.instances).toEqual({ idle: 2 });
    expect(rig.manager.stats().sandboxes.map(({ state }) => state)).toEqual(["idle", "idle"]);
    expect(rig.pool.stats().evicted).toBe(0);
  });

  it("are replaced when one ends", async () => {
    const rig = await warmRig(2);
    const [sandbox] = rig.pool.sandboxes();
    await sandbox?.destroy();
    await expect.poll(() => rig.created()).toBe(3);
    await expect.poll(() => rig.manager.stats().functions[0]?.instances).toEqual({ idle: 2 });
  });

  it("run new code before those of the old are gone, without a call", async () => {
    vi.useFakeTimers({ toFake: ["performance", "setInterval", "clearInterval"] });
    onTestFinished(() => void vi.useRealTimers());
    const rig = await warmRig(2);
    let fewest = Number.POSITIVE_INFINITY;
    rig.pool.on("destroying", () => {
      fewest = Math.min(fewest, rig.pool.sandboxes().filter(({ state }) => state === "ready").length);
    });
    rig.source.lambdas.set("a", { dir: "b", config: { minInstances: 2 } });
    vi.advanceTimersByTime(6_000);
    await expect.poll(() => rig.source.held.get("a")).toBe(0);
    await expect.poll(() => rig.pool.stats().sandboxes).toBe(2);
    expect(fewest).toBeGreaterThanOrEqual(2);
    expect(rig.created()).toBe(4);
    expect(await rig.result("a")).toBe('"new"');
  });

  it("are as many as memory allows", async () => {
    const rig = makeRig({ code: { a: answers(1) }, memoryMb: 120 });
    configure(rig, "a", { minInstances: 8 });
    await rig.manager.keepWarm();
    await expect.poll(() => rig.manager.stats().functions[0]?.instances.idle).toBe(2);
    expect(await rig.result("a")).toBe("1");
  });
});

describe("instances beyond need", () => {
  it("end after their time, all but the one used last, which has longer", async () => {
    const held = gate();
    const rig = makeRig({ code: { a: held.code }, surplusSandboxMs: 20_000, idleSandboxMs: 100_000 });
    const calls = Array.from({ length: 3 }, () => rig.result("a"));
    await expect.poll(() => held.started()).toBe(3);
    held.open();
    await Promise.all(calls);
    const { manager } = rig;
    expect(manager.stats().functions[0]?.instances).toEqual({ idle: 3 });
    const nowMs = performance.now();
    manager.sweep(nowMs + 19_000);
    expect(manager.stats().functions[0]?.instances).toEqual({ idle: 3 });
    manager.sweep(nowMs + 21_000);
    expect(manager.stats().functions[0]?.instances).toEqual({ idle: 1 });
    manager.sweep(nowMs + 99_000);
    expect(manager.stats().functions[0]?.instances).toEqual({ idle: 1 });
    manager.sweep(nowMs + 101_000);
    expect(manager.stats().functions[0]?.instances).toEqual({});
  });
});
