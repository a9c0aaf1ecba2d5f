import { stat } from "node:fs/promises";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { SandboxExit } from "../../../src/index.ts";
import { SLOWNESS } from "../../support/scale.ts";
import { type Engine, Host, type Mode, type Outcome, type ProbeEvent, type ProbedSandbox } from "./host.ts";

const MIB = 1024 * 1024;
// The check for output comes once a second; a busy machine takes its time.
const CHECK_TIMEOUT_MS = 10_000 * SLOWNESS;

/** What a probe says, and how its sandbox ended. */
const endOf = async (
  engine: Engine,
  event: ProbeEvent,
  limits: object,
): Promise<[Outcome, SandboxExit["reason"]]> => {
  const sandbox = await engine.sandbox("none", { limits });
  const outcome = await sandbox.probe(event);
  return [outcome, (outcome.error ? await sandbox.exited() : await sandbox.destroy()).reason];
};

/** In one second of so many: a busy machine may give a whole one to others. */
const getsItsShare = async (sandbox: ProbedSandbox, event: ProbeEvent, seconds: number): Promise<boolean> => {
  for (let second = 0; second < seconds; second += 1) if ((await sandbox.probe(event)).succeeded) return true;
  return false;
};

/** Bombs against the limits, and with higher limits as their own control. */
export const describeBombs = (mode: Mode): void => {
  describe("a bomb", () => {
    let host: Host;
    let engine: Engine;

    beforeAll(async () => {
      host = await Host.open(mode);
      engine = await host.engine();
    });

    afterAll(() => host[Symbol.asyncDispose]());

    const counted = (): boolean => engine.enforcement.memory !== "rlimit";

    it.each(["fork-bomb", "thread-bomb"])("of processes ends at limits.procs (%s)", async (probe) => {
      // Much memory, since an rlimit on it counts each thread's whole stack.
      const bounded = await engine.sandbox("none", { limits: { procs: 10, memoryMb: 1024 } });
      const outcome = await bounded.probe({ probe, most: 50 });
      expect(outcome.succeeded).toBe(false);
      // One process is the lambda itself.
      expect(Number(outcome.detail)).toBeGreaterThan(0);
      expect(Number(outcome.detail)).toBeLessThanOrEqual(9);
      // It is refused, not ended, and its places are free again.
      expect(await bounded.probe({ probe, most: 5 })).toEqual({ succeeded: true, detail: 5 });
      await bounded.destroy();
      const roomy = await engine.sandbox("none", { limits: { procs: 100, memoryMb: 1024 } });
      expect(await roomy.probe({ probe, most: 50 })).toEqual({ succeeded: true, detail: 50 });
      await roomy.destroy();
    });

    it("of processes counts for its own sandbox alone", async () => {
      const limits = { procs: 10, memoryMb: 256 };
      const idle = await Promise.all(Array.from({ length: 12 }, () => engine.sandbox("none", { limits })));
      for (const sandbox of idle)
        expect(await sandbox.probe({ probe: "fork-bomb", most: 5 })).toEqual({ succeeded: true, detail: 5 });
      await Promise.all(idle.map((sandbox) => sandbox.destroy()));
    });

    it("of CPU time ends at limits.cpuPercent where a control group counts it, and else is open, as documented", async () => {
      // Where nothing counts it, all that can be said is that a busy machine gives some.
      const open = engine.enforcement.cpu === "none";
      const share = open ? 0.05 : 0.3;
      const event = { probe: "cpu-bomb", seconds: 1, share };
      const bounded = await engine.sandbox("none", { limits: { cpuPercent: 10 } });
      expect(await getsItsShare(bounded, event, open ? 10 : 1)).toBe(open);
      await bounded.destroy();
      // A busy machine gives less than all, but more than a tenth.
      const roomy = await engine.sandbox("none", { limits: { cpuPercent: 100 } });
      expect(await getsItsShare(roomy, { ...event, share: Math.min(share, 0.15) }, 10)).toBe(true);
      await roomy.destroy();
    });

    it("of memory ends at limits.memoryMb, and ends nothing else", async () => {
      const neighbour = await engine.sandbox("none");
      const bounded = await engine.sandbox("none", { limits: { memoryMb: 64 } });
      const outcome = await bounded.probe({ probe: "memory-bomb", most: 300 });
      const exit = await bounded.destroy();
      const byRlimit = { detail: expect.stringMatching(/^MemoryError after \d\d MiB$/) };
      const byGroup = { error: expect.objectContaining({ code: "OL_SANDBOX_OUT_OF_MEMORY" }) };
      expect(outcome).toMatchObject({ succeeded: false, ...(counted() ? byGroup : byRlimit) });
      expect(exit.reason).toBe(counted() ? "out-of-memory" : "killed");
      expect(await neighbour.probe({ probe: "memory-bomb", most: 10 })).toMatchObject({ succeeded: true });
      await neighbour.destroy();
      const roomy = await engine.sandbox("none", { limits: { memoryMb: 512 } });
      expect(await roomy.probe({ probe: "memory-bomb", most: 300 })).toMatchObject({ succeeded: true });
      await roomy.destroy();
    });

    it.each(["shared-memory-bomb", "memfd-bomb"])(
      "of shared memory ends at limits.memoryMb (%s)",
      async (probe) => {
        // Where no control group counts it, it is measured now and then.
        const event = { probe, most: 200, holdSec: CHECK_TIMEOUT_MS / 1000 };
        const bounded = await engine.sandbox("none", { limits: { memoryMb: 64, scratchMb: 1000 } });
        const outcome = await bounded.probe(event);
        expect([outcome.succeeded, outcome.error?.code]).toEqual([false, "OL_SANDBOX_OUT_OF_MEMORY"]);
        expect(await bounded.exited()).toEqual({ reason: "out-of-memory" });
        const roomy = await engine.sandbox("none", { limits: { memoryMb: 512, scratchMb: 1000 } });
        expect(await roomy.probe({ ...event, holdSec: 0 })).toMatchObject({ succeeded: true });
        await roomy.destroy();
      },
    );

    it("of many files, or of files without a name, ends at limits.scratchMb, soon after", async () => {
      const holdSec = CHECK_TIMEOUT_MS / 1000;
      const killed = [{ succeeded: false, error: { code: "OL_SANDBOX_OUT_OF_DISK" } }, "out-of-disk"];
      const large = { probe: "many-files", files: 6, mib: 3, limitMib: 16, holdSec };
      expect(await endOf(engine, large, { scratchMb: 8 })).toMatchObject(killed);
      expect(await endOf(engine, { ...large, unlinked: true }, { scratchMb: 8 })).toMatchObject(killed);
      // Only the machine's root may ask for the size of what is mapped.
      const mapped = { ...large, mapped: true, holdSec: mode === "root" ? holdSec : 2 };
      expect(await endOf(engine, mapped, { scratchMb: 8 })).toMatchObject(
        mode === "root" ? killed : [{ succeeded: true }, "killed"],
      );
      const many = { probe: "many-files", files: 33_000, mib: 0, limitMib: -1, holdSec };
      expect(await endOf(engine, many, { scratchMb: 8 })).toMatchObject(killed);
      // As much again and no more is allowed, whatever the time.
      expect(await endOf(engine, { ...large, holdSec: 2 }, { scratchMb: 32 })).toMatchObject([
        { succeeded: true },
        "killed",
      ]);
    });

    it("of ten threads is none, in 50 MB", async () => {
      const sandbox = await engine.sandbox("none", { limits: { memoryMb: 50, procs: 20 } });
      expect(await sandbox.probe({ probe: "thread-bomb", most: 10 })).toEqual({
        succeeded: true,
        detail: 10,
      });
      await sandbox.destroy();
    });

    it.each(["/tmp", "/dev/shm"])(
      "of files in %s, which is memory, ends at limits.memoryMb",
      async (directory) => {
        const event = { probe: "temporary-file-bomb", directory, most: 150 };
        // The file's own limit must not be what ends it.
        const bounded = await engine.sandbox("none", { limits: { memoryMb: 64, scratchMb: 1000 } });
        expect(await bounded.probe(event)).toMatchObject({ succeeded: false });
        await bounded.destroy();
        const roomy = await engine.sandbox("none", { limits: { memoryMb: 512, scratchMb: 1000 } });
        expect(await roomy.probe(event)).toMatchObject({ succeeded: true });
        await roomy.destroy();
      },
    );

    it("of bytes in sockets ends at limits.memoryMb where a control group counts them, and else is open, as documented", async () => {
      // About 4 MiB each.
      const event = { probe: "socket-memory-bomb", connections: 60, limitMib: 100 };
      const bounded = await engine.sandbox("none", { limits: { memoryMb: 64 } });
      expect((await bounded.probe(event)).succeeded).toBe(!counted());
      await bounded.destroy();
      const roomy = await engine.sandbox("none", { limits: { memoryMb: 1024 } });
      expect(await roomy.probe(event)).toMatchObject({ succeeded: true });
      await roomy.destroy();
    });

    it("of one file in the scratch directory ends at limits.scratchMb", async () => {
      const bounded = await engine.sandbox("none", { limits: { scratchMb: 4 } });
      expect(await bounded.probe({ probe: "large-file", most: 10 })).toEqual({
        succeeded: false,
        detail: expect.stringContaining("after 4 MiB"),
      });
      await bounded.destroy();
      const roomy = await engine.sandbox("none", { limits: { scratchMb: 20 } });
      expect(await roomy.probe({ probe: "large-file", most: 10 })).toMatchObject({ succeeded: true });
      await roomy.destroy();
    });

    it("of output is cut to limits.logMb", async () => {
      const bounded = await engine.sandbox("none", { limits: { logMb: 1, scratchMb: 8 } });
      expect(await bounded.probe({ probe: "output-bomb", mib: 3 })).toMatchObject({ succeeded: true });
      const size = async (): Promise<number> => (await stat(path.join(bounded.scratch, "stdout"))).size;
      await expect.poll(size, { timeout: CHECK_TIMEOUT_MS }).toBeLessThanOrEqual(MIB / 2);
      await bounded.destroy();
      const roomy = await engine.sandbox("none", { limits: { logMb: 16, scratchMb: 16 } });
      await roomy.probe({ probe: "output-bomb", mib: 3 });
      expect((await stat(path.join(roomy.scratch, "stdout"))).size).toBeGreaterThanOrEqual(3 * MIB);
      await roomy.destroy();
    });

    it("of output ends at limits.scratchMb before anybody looks", async () => {
      const sandbox = await engine.sandbox("none", { limits: { logMb: 1, scratchMb: 2 } });
      expect(await sandbox.probe({ probe: "output-bomb", mib: 3 })).toMatchObject({ succeeded: false });
      await sandbox.destroy();
    });
  });
};
