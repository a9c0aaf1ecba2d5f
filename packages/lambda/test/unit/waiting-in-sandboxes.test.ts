import { setTimeout as sleep } from "node:timers/promises";

import { deferred } from "@ol/common";
import type { FakeCode } from "@ol/sandbox/testing";
import { describe, expect, it, vi } from "vitest";

import { type Rig, makeRig } from "../harness.ts";

/** A quick function, which takes its time if the event is a number of ms, and ends its process if it is "exit". */
const quick = () => {
  const ran = new Map<string, number>();
  const code: FakeCode = {
    call: (event, { exit }) => {
      const what: unknown = JSON.parse(event.toString());
      ran.set(String(what), (ran.get(String(what)) ?? 0) + 1);
      if (what === "exit") exit({ reason: "exit", code: 3 });
      if (what === "exit") return new Promise(() => undefined);
      return typeof what === "number"
        ? new Promise((resolve) => setTimeout(() => resolve(what), what))
        : what;
    },
  };
  return { code, ran };
};

/**
 * Makes calls of a function that everybody knows to be quick, all at once. Until they are handed over the clock stands
 * still: on a busy machine nothing is quick.
 */
const callAtOnce = async (rig: Rig, events: readonly unknown[]): Promise<Promise<string>[]> => {
  const clock = vi.spyOn(performance, "now").mockReturnValue(performance.now());
  for (let count = 0; count < 3; count += 1) await rig.result("quick", "warm");
  const results = events.map((event) => rig.result("quick", event));
  expect(rig.manager.load()).toMatchObject({ queue: 0, busy: 1 });
  clock.mockRestore();
  return results;
};

const NAMES = ["a", "b", "c", "d", "e", "f"];
const ONCE = NAMES.map((name) => [name, 1]);

describe("calls that wait in a sandbox", () => {
  // How many others are made depends on run times, and a machine that holds this process up makes them long.
  it("behind one that takes its time go to another, and each is run once", { retry: 3 }, async () => {
    const { code, ran } = quick();
    const rig = makeRig({ code: { quick: code } });
    const [slow, ...calls] = await callAtOnce(rig, [1_000, ...NAMES]);
    const first = await Promise.race([slow, Promise.all(calls)]);
    expect(first).toEqual(NAMES.map((name) => JSON.stringify(name)));
    expect(await slow).toBe("1000");
    expect(NAMES.map((name) => [name, ran.get(name)])).toEqual(ONCE);
    // On a busy machine the second seems slow as well.
    expect(rig.created()).toBeLessThanOrEqual(3);
    expect(rig.manager.load()).toMatchObject({ queue: 0, busy: 0 });
  });

  it("and come back after the one before them was answered leave the sandbox free", async () => {
    const begun = deferred<void>();
    const rig = makeRig({
      slots: 2,
      code: {
        quick: {
          call: async (event, { connection }) => {
            if (event.toString() !== '"deaf"') return event;
            // What comes from here on it reads when it has answered: the next call, and that this is asked back.
            connection.pause();
            begun.resolve();
            await sleep(50);
            setTimeout(() => connection.resume(), 5);
            return event;
          },
        },
      },
    });
    const clock = vi.spyOn(performance, "now").mockReturnValue(performance.now());
    for (let count = 0; count < 3; count += 1) await rig.result("quick", "warm");
    const deaf = rig.result("quick", "deaf");
    await begun.promise;
    const behind = rig.result("quick", "behind");
    expect(rig.manager.load()).toMatchObject({ queue: 0, busy: 1 });
    clock.mockRestore();
    expect([await deaf, await behind]).toEqual(['"deaf"', '"behind"']);
    // Of a sandbox that seems busy with no call nobody would ever hear again.
    expect(rig.created()).toBe(1);
    expect(rig.manager.load()).toMatchObject({ queue: 0, busy: 0, slots: 2 });
  });

  it("behind one that ends it are run by another, each once and in their order", async () => {
    const { code, ran } = quick();
    const rig = makeRig({ code: { quick: code } });
    const results = await Promise.all(await callAtOnce(rig, ["exit", ...NAMES]));
    expect(results).toEqual(["OL_SANDBOX_EXITED", ...NAMES.map((name) => JSON.stringify(name))]);
    expect(NAMES.map((name) => [name, ran.get(name)])).toEqual(ONCE);
    expect([...ran.keys()].slice(-NAMES.length)).toEqual(NAMES);
    expect(rig.manager.load()).toMatchObject({ queue: 0, busy: 0 });
  });

  it("take nobody's slot: a function that stands in line gets the next one", async () => {
    const { code } = quick();
    const rig = makeRig({ code: { quick: code, other: { call: () => "other" } }, slots: 1 });
    await Promise.all(await callAtOnce(rig, ["busy"]));
    const over = new AbortController();
    const load = Array.from({ length: 12 }, async () => {
      while (!over.signal.aborted) await rig.result("quick", "busy");
    });
    for (let count = 0; count < 20; count += 1) expect(await rig.result("other")).toBe('"other"');
    over.abort();
    await Promise.all(load);
    expect(rig.manager.load()).toMatchObject({ queue: 0, busy: 0 });
  });
});
