import { deferred } from "@ol/common";
import { describe, expect, it } from "vitest";

import { makeRig, resultOf } from "../harness.ts";

const answers = (value: unknown) => ({ call: () => value });

/** Ends the sandboxes made first before they read anything, as one whose zygote is killed does. */
const losesFirst = (count: number) => {
  const lost: string[] = [];
  return {
    lost,
    beforeCreate: (id: string): void => {
      if (lost.length < count) lost.push(id);
    },
  };
};

const losingRig = (count: number) => {
  const { lost, beforeCreate } = losesFirst(count);
  let runs = 0;
  const rig = makeRig({ code: { a: { call: () => (runs += 1) } }, engine: { beforeCreate } });
  rig.pool.on("create", ({ id }) => {
    if (lost.includes(id))
      rig.engine.end(id, { reason: "lost", message: "its zygote died", notStarted: true });
  });
  return { rig, runs: () => runs };
};

describe("a call whose sandbox ended before it read a byte", () => {
  it("goes to another sandbox, and runs once", async () => {
    const { rig, runs } = losingRig(1);
    const { outcome, sink } = rig.call("a");
    expect(resultOf(await outcome)).toBe("1");
    expect([sink.outcomes, runs(), rig.created()]).toEqual([1, 1, 2]);
    expect(rig.manager.stats().calls).toMatchObject({ accepted: 1, answered: 1, cut: 0 });
  });

  it("is answered with 503, not started, if that happens to it twice", async () => {
    const { rig, runs } = losingRig(2);
    const { outcome, invocation } = rig.call("a");
    expect(await outcome).toMatchObject({ error: { code: "OL_LAMBDA_NOT_STARTED", status: 503 } });
    expect([invocation.started, runs()]).toEqual([false, 0]);
    expect(await rig.result("a")).toBe("1");
  });

  it("is not repeated when nobody can tell whether it began", async () => {
    const rig = makeRig({ code: { a: { call: () => new Promise(() => undefined) } } });
    const { outcome } = rig.call("a");
    await expect.poll(() => rig.manager.load().busy).toBe(1);
    const [sandbox] = rig.pool.sandboxes();
    rig.engine.end(sandbox?.id ?? "", { reason: "lost", message: "its zygote died" });
    expect(resultOf(await outcome)).toBe("OL_SANDBOX_DESTROYED");
    expect(rig.created()).toBe(1);
  });

  it("is not repeated for a client that is gone", async () => {
    const { rig, runs } = losingRig(1);
    const { invocation, sink } = rig.call("a");
    rig.pool.on("create", () => invocation.cancel());
    await expect.poll(() => rig.manager.stats().running + rig.manager.stats().queued).toBe(0);
    expect([runs(), sink.outcomes]).toEqual([0, 0]);
  });
});

describe("a sandbox of a function", () => {
  it("may go as soon as it has nothing to do, and not while it has", async () => {
    const gate = deferred<string>();
    const busy = { call: () => gate.promise };
    const rig = makeRig({ code: { busy, other: answers("other") }, memoryMb: 50 });
    const first = rig.call("busy");
    await expect.poll(() => rig.manager.load().busy).toBe(1);
    const second = rig.call("other");
    await expect.poll(() => rig.pool.stats().waiting).toBe(1);
    expect(rig.pool.stats().evicted).toBe(0);
    gate.resolve("done");
    expect([resultOf(await first.outcome), resultOf(await second.outcome)]).toEqual(['"done"', '"other"']);
    expect(rig.pool.stats().evicted).toBe(1);
  });

  it("that is evicted in the moment of a call loses none", async () => {
    const names = ["a", "b", "c", "d"];
    const code = Object.fromEntries(names.map((name) => [name, answers(name)]));
    const rig = makeRig({ code, memoryMb: 100 });
    const clients = names.map(async (name) => {
      for (let number = 0; number < 100; number += 1) {
        expect(await rig.result(name)).toBe(`"${name}"`);
        // Some calls come just as the sandbox has become idle, some just as it is taken away.
        if (number % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    });
    await Promise.all(clients);
    expect(rig.pool.stats().evicted).toBeGreaterThan(4);
    expect(rig.manager.stats().calls).toMatchObject({ answered: 400, cut: 0, refused: 0 });
  });

  it("that was paused is resumed by a call, and is idle again after it", async () => {
    const rig = makeRig({ code: { a: answers("a"), b: answers("b") }, memoryMb: 100 });
    await rig.result("a");
    const [sandbox] = rig.pool.sandboxes();
    await expect.poll(() => sandbox?.pause()).toBe(true);
    expect(await rig.result("a")).toBe('"a"');
    expect([sandbox?.state, sandbox?.idle]).toEqual(["ready", true]);
  });
});
