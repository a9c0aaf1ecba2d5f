import { stat } from "node:fs/promises";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { Defence, SandboxExit } from "../../src/index.ts";
import { type Engine, Host, type Mode, type ProbedSandbox, runsAsRoot } from "./security/host.ts";

const SETTLE_MS = 100;
const CLIENTS = 16;
const LIMITS = { procs: 20 };

/** A host of this machine, or of one that has less. */
interface Kind {
  readonly mode: Mode;
  readonly weaken: readonly Defence[];
}

const KINDS: readonly Kind[] = [
  ...(runsAsRoot() ? [{ mode: "root", weaken: [] } as const] : []),
  ...(runsAsRoot() ? [{ mode: "root", weaken: ["cgroup-freeze"] } as const] : []),
  ...(runsAsRoot() ? [{ mode: "root", weaken: ["cgroups"] } as const] : []),
  { mode: "rootless", weaken: [] },
  { mode: "rootless", weaken: ["cgroups"] },
];

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** How much its background processes have done. */
const done = async (sandbox: ProbedSandbox): Promise<number> =>
  (await stat(path.join(sandbox.scratch, "busy")).catch(() => ({ size: 0 }))).size;

const client = async (engine: Engine): Promise<SandboxExit> => {
  const sandbox = await engine.sandbox("none", { limits: LIMITS });
  for (let round = 0; round < 3; round += 1) {
    expect(await sandbox.pause()).toBe(true);
    expect(await sandbox.probe({ probe: "busy-family", families: 0 })).toMatchObject({ succeeded: true });
  }
  expect(await sandbox.pause()).toBe(true);
  return sandbox.destroy();
};

describe.each(KINDS)("pausing as $mode without $weaken", ({ mode, weaken }) => {
  let host: Host;
  let engine: Engine;

  beforeAll(async () => {
    host = await Host.open(mode);
    engine = await host.engine(weaken);
  });

  afterAll(() => host[Symbol.asyncDispose]());

  const busy = async (): Promise<ProbedSandbox> => {
    const sandbox = await engine.sandbox("none", { limits: LIMITS });
    expect(await sandbox.probe({ probe: "busy-family" })).toMatchObject({ succeeded: true });
    await expect.poll(() => done(sandbox)).toBeGreaterThan(3);
    return sandbox;
  };

  it("is done by signals where nothing better is left", () => {
    const possible = weaken.length > 0 ? ["signals"] : ["cgroup-v2", "signals"];
    expect(possible).toContain(engine.enforcement.pause);
  });

  it("stops every process, those too that are being forked, until it is resumed", async () => {
    const sandbox = await busy();
    expect(await sandbox.pause()).toBe(true);
    // Frozen processes stop a moment after they were told.
    await sleep(SETTLE_MS);
    const before = await done(sandbox);
    await sleep(SETTLE_MS);
    expect(await done(sandbox)).toBe(before);
    await sandbox.resume();
    await expect.poll(() => done(sandbox)).toBeGreaterThan(before);
    expect(await sandbox.pause()).toBe(true);
    expect(await sandbox.probe({ probe: "busy-family", families: 0 })).toMatchObject({ succeeded: true });
    expect(await sandbox.destroy()).toEqual({ reason: "killed" });
  });

  it("leaves nothing in the way of killing", { retry: 2 }, async () => {
    const sandbox = await busy();
    expect(await sandbox.pause()).toBe(true);
    const beganMs = performance.now();
    expect(await sandbox.destroy()).toEqual({ reason: "killed" });
    expect(performance.now() - beganMs).toBeLessThan(2_000);
    // The next one may get the same control group, which must not be frozen.
    const next = await engine.sandbox("none");
    expect(await next.probe({ probe: "busy-family", families: 0 })).toMatchObject({ succeeded: true });
    await next.destroy();
  });

  it("and resuming is stood by sixteen clients at once", async () => {
    const ends = await Promise.all(Array.from({ length: CLIENTS }, () => client(engine)));
    expect(ends).toEqual(ends.map(() => ({ reason: "killed" })));
  });

  it("lowers what a sandbox may hold to what it holds, and gives it back before it runs", async () => {
    const sandbox = await engine.sandbox("none", { limits: { memoryMb: 64 } });
    expect(await sandbox.pause()).toBe(true);
    // The limit is lowered a moment later.
    await sleep(3 * SETTLE_MS);
    expect(await sandbox.memoryBytes()).toBeLessThan(32 * 2 ** 20);
    await sandbox.resume();
    expect(await sandbox.probe({ probe: "memory-bomb", most: 40 })).toMatchObject({ succeeded: true });
    await sandbox.destroy();
  });
});
