import { deferred } from "@ol/common";
import type { FakeCode } from "@ol/sandbox/testing";
import { describe, expect, it } from "vitest";

import { makeRig } from "../harness.ts";

/** Code that is loaded when told to. */
const loading = () => {
  const loaded = deferred<void>();
  return { code: { load: () => loaded.promise, call: () => 1 }, loaded: loaded.resolve };
};

describe("who asks what a lambda's code is", () => {
  it("hears it once a sandbox has loaded it", async () => {
    const { code, loaded } = loading();
    const rig = makeRig({ code: { a: code } });
    const asked = rig.manager.learn("a");
    await expect.poll(() => rig.created()).toBe(1);
    loaded();
    expect(await asked).toMatchObject({ kind: "function" });
  });

  it("hears at once that it was removed meanwhile", async () => {
    const rig = makeRig({ code: { a: loading().code }, registryCacheMs: 0, queueTimeoutMs: 60_000 });
    const asked = rig.manager.learn("a").catch((error: unknown) => error);
    await expect.poll(() => rig.created()).toBe(1);
    rig.source.lambdas.delete("a");
    expect(await rig.result("a")).toBe("OL_LAMBDA_UNKNOWN");
    expect(await asked).toMatchObject({ code: "OL_LAMBDA_UNKNOWN" });
  });

  it("hears how the process ended that was to load it, from one attempt", async () => {
    const dies: FakeCode = {
      load: ({ exit }) => new Promise(() => setImmediate(() => exit({ reason: "exit", code: 3 }))),
      call: () => 1,
    };
    const rig = makeRig({ code: { a: dies } });
    await expect(rig.manager.learn("a")).rejects.toMatchObject({ code: "OL_SANDBOX_EXITED" });
    expect(rig.created()).toBe(1);
  });

  it("is not robbed of the sandbox that loads it by others who ask the same", async () => {
    const slow: FakeCode = { load: () => new Promise((resolve) => setTimeout(resolve, 20)), call: () => 1 };
    const rig = makeRig({ code: { a: slow, b: slow, c: slow }, memoryMb: 50 });
    const asked = await Promise.all(["a", "b", "c"].map((name) => rig.manager.learn(name)));
    expect(asked.map(({ kind }) => kind)).toEqual(Array(3).fill("function"));
    expect(rig.created()).toBe(3);
  });
});
