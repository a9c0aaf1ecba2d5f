import { execFile } from "node:child_process";
import { readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { NetworkClass } from "@ol/common";

import { statFields, treeOf } from "../../support/leftovers.ts";
import { hasLandlockScopes, layBait } from "./bait.ts";
import { type Engine, Host, type Mode, type Outcome, type ProbeEvent } from "./host.ts";
import { eventOf } from "./probes.ts";
import { childrenOf } from "./processes.ts";
import { FAILED, attributeOf, expectUnharmed, makePlain } from "./zygote-kit.ts";
import { OPEN_TO_ZYGOTES, OWN_ZYGOTE_PROBES, ZYGOTE_PROBES } from "./zygote-probes.ts";

const hasScopes = hasLandlockScopes();

/** Has import code try everything, in a zygote of that engine. */
const tryAll = async (on: Engine, network: NetworkClass): Promise<readonly Outcome[]> => {
  const spec = { network, packages: ["hostile", "probes"], modules: ["ol_probes"] };
  expect(await on.createZygote(`probes-${network}`, spec)).toBeUndefined();
  const report = { module: "ol_probes", attribute: "REPORT" };
  return (await attributeOf(on, `probes-${network}`, report, network)) as Outcome[];
};

const descriptorsOf = async (pid: number): Promise<number> => (await readdir(`/proc/${pid}/fd`)).length;

/** Zygotes whose import code means no good. */
export const describeImportCode = (mode: Mode): void => {
  let host: Host;
  let engine: Engine;

  beforeAll(async () => {
    host = await Host.open(mode);
    engine = await host.engine();
    await makePlain(engine);
  });

  afterAll(() => host[Symbol.asyncDispose]());

  describe("import code in a zygote", () => {
    const reports = new Map<string, readonly Outcome[]>();
    let events: readonly ProbeEvent[] = [];
    let removeBait: () => Promise<void>;

    beforeAll(async () => {
      const laid = await layBait(host);
      removeBait = laid.remove;
      events = [
        ...ZYGOTE_PROBES.map(({ event }) => eventOf(event, laid.bait)),
        ...OWN_ZYGOTE_PROBES.map(({ event }) => event),
        { probe: "under-proc" },
      ];
      await writeFile(path.join(host.directory, "packages/hostile/events.json"), JSON.stringify(events));
      for (const network of ["none", "host"] as const) reports.set(network, await tryAll(engine, network));
    }, 60_000);

    afterAll(() => removeBait());

    it.each(["none", "host"] as const)(
      "can do nothing that a lambda cannot but what forking takes (network %s)",
      (network) => {
        const report = reports.get(network) ?? [];
        expect(report).toHaveLength(events.length);
        expect(report.filter(({ broken }) => broken)).toEqual([]);
        const done = ZYGOTE_PROBES.filter((_probe, at) => report[at]?.succeeded).map(({ title }) => title);
        const expected = ZYGOTE_PROBES.filter(
          ({ title, open, withoutScopes }) =>
            OPEN_TO_ZYGOTES.includes(title) ||
            open?.includes(network) ||
            (!hasScopes && withoutScopes?.includes(network)),
        );
        expect(done).toEqual(expected.map(({ title }) => title));
      },
    );

    it.each(["none", "host"] as const)(
      "cannot make what it sees read-only writable, nor look under its /proc (network %s)",
      (network) => {
        const own = (reports.get(network) ?? []).slice(ZYGOTE_PROBES.length);
        expect(own.map(({ succeeded }) => succeeded)).toEqual(
          events.slice(ZYGOTE_PROBES.length).map(() => false),
        );
      },
    );

    it("could without a user namespace of its own, and look under a /proc that lies over another", async () => {
      const [first] = OWN_ZYGOTE_PROBES;
      await using weakened = await host.engine(first?.weaken);
      const report = (await tryAll(weakened, "none")).slice(ZYGOTE_PROBES.length);
      const done = OWN_ZYGOTE_PROBES.filter((_probe, at) => report[at]?.succeeded).map(({ title }) => title);
      expect(done).toEqual(OWN_ZYGOTE_PROBES.map(({ title }) => title));
      await using bare = await host.engine(["seccomp", "capabilities", "user"]);
      expect(await bare.probe("none", { probe: "under-proc" })).toMatchObject({ succeeded: true });
    });

    it.each(["ol_killer", "ol_shadow", "ol_flood", "ol_hidden"])(
      "harms nobody but itself (%s)",
      async (module) => {
        expect(
          await engine.createZygote(module, { packages: ["hostile"], modules: [module] }),
        ).toBeUndefined();
        await expectUnharmed(engine);
        await engine.killZygote(module);
      },
    );

    it("cannot get at control groups, its own neither", async () => {
      const spec = { packages: ["hostile"], modules: ["ol_cgroups"] };
      expect(await engine.createZygote("cgroups", spec)).toBeUndefined();
      const opened = { module: "ol_cgroups", attribute: "OPENED" };
      expect(await attributeOf(engine, "cgroups", opened)).toEqual([]);
      await engine.killZygote("cgroups");
      if (mode !== "root") return;
      // The machine's own root can.
      const file = path.join(host.directory, "packages/hostile/ol_cgroups.py");
      const { stdout } = await promisify(execFile)("unshare", ["--mount", "python3", "-B", file]);
      expect(JSON.parse(stdout)).toContain("cgroup.procs");
    });

    it("that forks without end is ended with all its processes", async () => {
      const limits = { memoryMb: 64, swappiness: 0, procs: 10, cpuPercent: 200, logMb: 1, scratchMb: 4 };
      const spec = { packages: ["hostile"], modules: ["ol_bomb"], limits };
      expect(await engine.createZygote("bomb", spec)).toMatchObject({ code: FAILED });
      await expectUnharmed(engine);
    });

    it.each([
      ["ol_close", /its process/],
      ["ol_junk", /its process/],
      ["ol_deep", /its process/],
      ["ol_number", /broke the protocol/],
      ["ol_stranger", /broke the protocol/],
      ["ol_here", /broke the protocol/],
      ["ol_heir", /exited with code 4|its process/],
    ])("cannot confuse the broker (%s)", async (module, reason) => {
      const error = await engine.createZygote("confuser", { packages: ["hostile"], modules: [module] });
      expect(error).toEqual({ code: FAILED, message: expect.stringMatching(reason), unfit: [] });
      await expectUnharmed(engine);
    });

    it("is given up also if it ended before the broker looked at it, and left somebody its channel", async () => {
      await using own = await host.engine();
      await makePlain(own);
      const { zygote } = treeOf(own.brokerPid);
      const known = (await childrenOf(zygote)).map(({ pid }) => pid);
      const heirs = async (): Promise<string[]> => {
        const inits = (await childrenOf(zygote)).filter(({ pid }) => !known.includes(pid));
        const left = await Promise.all(inits.map(({ pid }) => childrenOf(pid)));
        return left.flat().map(({ name }) => name);
      };
      const isBrokerIdle = (): boolean => statFields(own.brokerPid)?.[0] === "S";
      await expect.poll(isBrokerIdle).toBe(true);
      const before = await descriptorsOf(own.brokerPid);
      process.kill(zygote, "SIGSTOP");
      const spec = { packages: ["hostile"], modules: ["ol_heir"], importMs: 30_000 };
      const making = own.createZygote("confuser", spec);
      try {
        // Until the broker has asked for it: it holds the new one's channel, and waits for news.
        await expect
          .poll(async () => (await descriptorsOf(own.brokerPid)) > before && isBrokerIdle())
          .toBe(true);
        process.kill(own.brokerPid, "SIGSTOP");
        // The zygote alone goes on.
        process.kill(zygote, "SIGCONT");
        await expect.poll(heirs, { timeout: 25_000 }).toEqual(["ol_heir"]);
      } finally {
        for (const pid of [zygote, own.brokerPid]) process.kill(pid, "SIGCONT");
      }
      expect(await making).toEqual({ code: FAILED, message: expect.stringMatching(/code 4/), unfit: [] });
      expect(await heirs()).toEqual([]);
      await expectUnharmed(own);
    });

    it("cannot fill the broker's table of descriptors", async () => {
      const before = await descriptorsOf(engine.brokerPid);
      const spec = { packages: ["hostile"], modules: ["ol_descriptors"] };
      expect(await engine.createZygote("descriptors", spec)).toBeUndefined();
      expect(await descriptorsOf(engine.brokerPid)).toBeLessThan(before + 30);
      await engine.killZygote("descriptors");
    });

    it("cannot keep the broker from hearing how a sandbox ended, or a zygote", async () => {
      expect(
        await engine.createZygote("deaf", { packages: ["hostile"], modules: ["ol_deaf"] }),
      ).toBeUndefined();
      const sandbox = await engine.sandbox("none", { code: "forked", zygote: "deaf" });
      expect(await sandbox.probe({ probe: "exit", exit: 7 })).toMatchObject({
        error: { code: "OL_SANDBOX_EXITED" },
      });
      expect(await sandbox.exited()).toEqual({ reason: "exit", code: 7 });
      const child = { packages: ["hostile"], modules: ["ol_exit"], parent: "deaf" };
      expect(await engine.createZygote("child", child)).toMatchObject({
        message: expect.stringMatching(/exited with code 5/),
      });
      await engine.killZygote("deaf");
    });

    it.each(["ol_liar", "ol_forger"])("cannot pass another process off as a leaf (%s)", async (module) => {
      await using own = await host.engine();
      await makePlain(own);
      expect(await own.createZygote("liar", { packages: ["hostile"], modules: [module] })).toBeUndefined();
      await expect(own.sandbox("none", { code: "forked", zygote: "liar" })).rejects.toThrow(
        /zygote|protocol|process|connect/,
      );
      expect(await own.zygoteExit("liar")).toMatchObject({ reason: "lost" });
      await expectUnharmed(own);
    });
  });
};

/** The broker's patience is eight seconds, so this is tried as one user only. */
export const describeSilence = (mode: Mode): void => {
  it("a zygote that never answers is given up, and nobody else waits for it", async () => {
    await using host = await Host.open(mode);
    await using engine = await host.engine();
    await makePlain(engine);
    const spec = { packages: ["hostile"], modules: ["ol_mute"] };
    expect(await engine.createZygote("mute", spec)).toBeUndefined();
    const outcomes = await Promise.allSettled([
      engine.sandbox("none", { code: "forked", zygote: "mute" }),
      expectUnharmed(engine),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "fulfilled"]);
    expect(await engine.zygoteExit("mute")).toMatchObject({ reason: "lost" });
  }, 30_000);
};
