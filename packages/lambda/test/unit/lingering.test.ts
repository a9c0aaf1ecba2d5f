import { describe, expect, it } from "vitest";

import { makeRig } from "../harness.ts";

const LINGER_MS = 30;
const echo = { call: (event: Buffer): Buffer => event };

const refuse = (): never => {
  throw new Error("it does not want to");
};

describe("an idle sandbox", () => {
  it("is paused after a short linger, and resumed by the next call", async () => {
    const rig = makeRig({ code: { echo }, pauseLingerMs: LINGER_MS });
    expect(await rig.result("echo", 1)).toBe("1");
    const [sandbox] = rig.pool.sandboxes();
    await expect.poll(() => sandbox?.state).toBe("paused");
    expect(rig.manager.stats().sandboxes).toMatchObject([{ lambda: "echo", state: "paused" }]);
    expect(await rig.result("echo", 2)).toBe("2");
    expect(rig.created()).toBe(1);
    await expect.poll(() => sandbox?.state).toBe("paused");
  });

  it("is not paused as long as it is called", async () => {
    const rig = makeRig({ code: { echo }, pauseLingerMs: 10_000 });
    let paused = 0;
    rig.pool.on("paused", () => (paused += 1));
    for (let call = 0; call < 20; call += 1) expect(await rig.result("echo", call)).toBe(String(call));
    expect(paused).toBe(0);
  });

  it("is never paused with a linger of 0", async () => {
    const rig = makeRig({ code: { echo }, pauseLingerMs: 0 });
    await rig.result("echo", 1);
    await new Promise((resolve) => setTimeout(resolve, 4 * LINGER_MS));
    expect(rig.pool.sandboxes().map(({ state }) => state)).toEqual(["ready"]);
  });

  it("runs on where it cannot be paused", async () => {
    const rig = makeRig({ code: { echo }, pauseLingerMs: LINGER_MS, engine: { beforePause: refuse } });
    await rig.result("echo", 1);
    await new Promise((resolve) => setTimeout(resolve, 4 * LINGER_MS));
    expect(await rig.result("echo", 2)).toBe("2");
    expect(rig.created()).toBe(1);
  });
});
