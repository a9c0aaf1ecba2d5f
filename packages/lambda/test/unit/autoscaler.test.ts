import type { Logger } from "@ol/common";
import { describe, expect, it } from "vitest";

import { type Autoscaler, makeAutoscaler, type ScaleSnapshot, type ShrinkSnapshot } from "../../src/index.ts";
import { makeRig } from "../harness.ts";

const stay: Autoscaler = { desired: ({ live }) => live, surplus: () => 0 };
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(() => resolve(), ms));

const collectErrors = (errors: string[]): Logger => ({
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: (message) => void errors.push(message),
});

describe("an autoscaler of one's own", () => {
  it("says how many sandboxes a function gets, and is made once for each function", async () => {
    const made: string[] = [];
    const rig = makeRig({
      code: { one: { call: () => sleep(50) }, two: { call: () => sleep(50) } },
      autoscaler: (lambda) => {
        made.push(lambda);
        return { ...stay, desired: ({ queued }) => (queued > 0 ? (lambda === "one" ? 1 : 3) : 0) };
      },
    });
    await Promise.all([1, 2, 3, 4].flatMap(() => [rig.result("one"), rig.result("two")]));
    const names = rig.pool.sandboxes().map(({ meta }) => meta.name);
    expect(names.toSorted()).toEqual(["one", "two", "two", "two"]);
    expect(made.toSorted()).toEqual(["one", "two"]);
  });

  it("hears of every call", async () => {
    let calls = 0;
    const autoscaler = (): Autoscaler => ({ ...makeAutoscaler(), called: () => void (calls += 1) });
    const rig = makeRig({ code: { hello: { call: () => 1 } }, autoscaler });
    for (let call = 0; call < 5; call += 1) await rig.result("hello");
    expect(calls).toBe(5);
  });

  it("is not believed beyond the most that a function may have", async () => {
    const rig = makeRig({
      code: { slow: { call: () => sleep(50) } },
      maxInstances: 2,
      autoscaler: () => ({ ...stay, desired: () => Number.POSITIVE_INFINITY }),
    });
    await Promise.all([1, 2, 3, 4].map(() => rig.result("slow")));
    expect(rig.created()).toBe(2);
  });

  it("may have sandboxes made before there is a call, as far as there is memory", async () => {
    const snapshots: ScaleSnapshot[] = [];
    const rig = makeRig({
      code: { hello: { call: () => 1 } },
      memoryMb: 150,
      autoscaler: () => ({
        ...stay,
        desired: (snapshot) => {
          snapshots.push(snapshot);
          return snapshot.queued > 0 ? 1 : 5;
        },
      }),
    });
    await rig.result("hello");
    expect(rig.created()).toBe(1);
    rig.manager.sweep(performance.now());
    await expect.poll(() => rig.created()).toBe(3);
    expect(snapshots.at(-1)).toMatchObject({ queued: 0, live: 1, max: 8 });
    expect(snapshots.at(-1)?.nowMs).toBeGreaterThan(snapshots[0]?.nowMs ?? Number.POSITIVE_INFINITY);
  });

  it("says which idle sandboxes end, but not those that are to be kept", async () => {
    const asked: ShrinkSnapshot[] = [];
    const rig = makeRig({
      autoscaler: () => ({
        ...makeAutoscaler(),
        surplus: (snapshot) => {
          asked.push(snapshot);
          return 10;
        },
      }),
    });
    rig.source.lambdas.set("echo", { dir: "echo", config: { minInstances: 1 } });
    rig.source.lambdas.set("count", { dir: "count" });
    await Promise.all([rig.result("echo"), rig.result("count")]);
    rig.manager.sweep(performance.now());
    await expect.poll(() => rig.pool.sandboxes().map(({ meta }) => meta.name)).toEqual(["echo"]);
    expect(asked.map(({ live, min }) => `${live} of at least ${min}`).toSorted()).toEqual([
      "1 of at least 0",
      "1 of at least 1",
    ]);
  });

  it("that fails, or says what is no number, changes nothing, and is complained of", async () => {
    const errors: string[] = [];
    let broken = false;
    const rig = makeRig({
      code: { hello: { call: () => 1 } },
      logger: collectErrors(errors),
      autoscaler: () => ({
        desired: () => (broken ? Number.NaN : 1),
        surplus: () => {
          throw new Error("out of order");
        },
        called: () => {
          if (broken) throw new Error("out of order");
        },
      }),
    });
    await rig.result("hello");
    broken = true;
    expect(await rig.result("hello")).toBe("1");
    rig.manager.sweep(performance.now());
    await sleep(10);
    expect(rig.pool.sandboxes()).toHaveLength(1);
    expect(new Set(errors)).toEqual(new Set(["the autoscaler failed; nothing is changed"]));
    expect(errors.length).toBeGreaterThanOrEqual(3);
  });

  it("that cannot be made is done without", async () => {
    const errors: string[] = [];
    const rig = makeRig({
      code: { hello: { call: () => 1 } },
      logger: collectErrors(errors),
      autoscaler: () => {
        throw new Error("out of order");
      },
    });
    expect(await rig.result("hello")).toBe("1");
    expect(errors).toEqual(["the autoscaler failed; nothing is changed"]);
  });
});
