import type { FakeCode } from "@ol/sandbox/testing";
import { describe, expect, it } from "vitest";

import { makeRig, resultOf, type Rig, type TestCall } from "../harness.ts";

/** Arrives in full in a window, in more than one piece. */
const BYTES = 200_000;

const CODE: Readonly<Record<string, FakeCode>> = {
  sized: { call: (event) => Buffer.alloc(Number(JSON.parse(event.toString())), "x") },
  app: {
    kind: "asgi",
    app: async (_request, reply) => {
      reply.start(200);
      await reply.end(Buffer.alloc(BYTES, "x"));
    },
  },
};

const makeOne = (options: Parameters<typeof makeRig>[0] = {}): Rig =>
  makeRig({ code: CODE, slots: 1, maxInstances: 1, ...options });

/** A call whose reply is not read further than to its first piece. */
const readNothing = async (rig: Rig, name: string, body: unknown = BYTES): Promise<TestCall> => {
  const one = rig.call(name, body);
  one.sink.full = true;
  await expect.poll(() => one.sink.parts.length).toBe(1);
  return one;
};

const readOn = async ({ sink, invocation, outcome }: TestCall): Promise<number> => {
  sink.full = false;
  invocation.resume();
  return resultOf(await outcome).length;
};

describe("a reply that has arrived", () => {
  it.each(["sized", "app"])("and is not read leaves the sandbox to the next call (%s)", async (name) => {
    const rig = makeOne();
    const slow: TestCall[] = [];
    for (let at = 0; at < 5; at += 1) slow.push(await readNothing(rig, name));
    await expect.poll(() => rig.manager.stats()).toMatchObject({ unread: 5, running: 0 });
    expect(rig.manager.stats().calls).toMatchObject({ accepted: 5, answered: 5 });
    for (const one of slow) expect(await readOn(one)).toBe(BYTES);
    expect(rig.manager.stats()).toMatchObject({ unread: 0, calls: { accepted: 5, answered: 5, left: 0 } });
    expect(slow.map(({ sink }) => sink.outcomes)).toEqual([1, 1, 1, 1, 1]);
    expect(rig.created()).toBe(1);
  });

  it("is read to its end although its sandbox is gone", async () => {
    const rig = makeOne();
    const slow = await readNothing(rig, "sized");
    await expect.poll(() => rig.manager.stats().unread).toBe(1);
    await rig.manager.close();
    expect(rig.pool.stats().sandboxes).toBe(0);
    expect(await readOn(slow)).toBe(BYTES);
  });

  it("is counted once when its client goes", async () => {
    const rig = makeOne();
    const slow = await readNothing(rig, "sized");
    await expect.poll(() => rig.manager.stats().unread).toBe(1);
    slow.invocation.cancel();
    slow.invocation.cancel();
    slow.invocation.resume();
    expect(await rig.result("sized", 3)).toBe("xxx");
    expect([slow.sink.outcomes, slow.sink.parts.length]).toEqual([0, 1]);
    expect(rig.manager.stats()).toMatchObject({ unread: 0, calls: { accepted: 2, answered: 2, left: 0 } });
  });

  it("of a sandbox for one call ends that", async () => {
    const rig = makeOne();
    rig.source.lambdas.set("sized", {
      dir: "sized",
      config: { environment: {}, limits: {}, reuseSandbox: false },
    });
    const slow = await readNothing(rig, "sized");
    await expect.poll(() => rig.pool.stats().sandboxes).toBe(0);
    expect(await rig.result("sized", 3)).toBe("xxx");
    expect(await readOn(slow)).toBe(BYTES);
    expect(rig.created()).toBe(2);
  });

  it("is waited for by a drain", async () => {
    const rig = makeOne();
    const slow = await readNothing(rig, "sized");
    await expect.poll(() => rig.manager.stats().unread).toBe(1);
    let drained = false;
    const draining = rig.manager.drain().then(() => (drained = true));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(drained).toBe(false);
    await readOn(slow);
    await draining;
  });

  it.each([
    ["is read", readOn],
    ["is not wanted any more", async ({ invocation }: TestCall) => invocation.cancel()],
  ])("holds its sandbox where the unread ones take too much memory, until it %s", async (_what, end) => {
    const rig = makeOne({ maxUnreadBytes: 250_000 });
    const first = await readNothing(rig, "sized");
    await expect.poll(() => rig.manager.stats().unread).toBe(1);
    const second = await readNothing(rig, "sized");
    const third = rig.result("sized", 3);
    await expect.poll(() => rig.manager.stats()).toMatchObject({ unread: 1, running: 1, queued: 1 });
    await end(second);
    expect(await third).toBe("xxx");
    await readOn(first);
    expect(rig.manager.stats()).toMatchObject({ unread: 0, running: 0, calls: { answered: 3, left: 0 } });
  });
});
