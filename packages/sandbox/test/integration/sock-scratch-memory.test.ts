import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import { type Account, accounts, forgetAccounts } from "../support/accounts.ts";
import type { ChaosWorker } from "../support/chaos-worker.ts";
import { TestCluster, eventually } from "../support/cluster.ts";
import { descendantsOf, filesOf, identityLives, usageOf } from "../support/leftovers.ts";

const MIB = 1024 * 1024;
// What a sandbox may have in files at least; packages/sandbox/python/ol_host/meter.py.
const MOST_FILES = 32_768;
const LIMITS = { memoryMb: 64, scratchMb: 7 };

afterAll(forgetAccounts);

/** Processes of a broker with a sandbox's /host. */
const withScratch = (worker: ChaosWorker): number[] =>
  [worker.brokerPid, ...descendantsOf(worker.brokerPid)].filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/mountinfo`, "utf8").includes(" /host ");
    } catch {
      // It ended between the two looks.
      return false;
    }
  });

const start = (cluster: TestCluster, engine: object = {}): Promise<ChaosWorker> =>
  cluster.start({ engine: { scratch: "memory", ...engine } });

const hold = (worker: ChaosWorker, limits: object = {}): Promise<string> =>
  worker.hold({ handler: "quota", limits: { ...LIMITS, ...limits }, ready: true });

const ask = (worker: ChaosWorker, sandbox: string, event: object): Promise<unknown> =>
  worker.ask("callHeld", { sandbox, event });

describe.each(await accounts())("scratch in memory, as $name", (account: Account) => {
  it("holds exactly limits.scratchMb in all files together, again after they were removed", async () => {
    await using cluster = await TestCluster.create(account);
    await using worker = await start(cluster);
    expect((await worker.stats()).enforcement.scratch).toBe("quota");
    const sandbox = await hold(worker);
    for (let round = 0; round < 2; round += 1) {
      const filled = await ask(worker, sandbox, { do: "fill", empty: true });
      expect(filled).toEqual([LIMITS.scratchMb * MIB, "ENOSPC"]);
    }
  });

  it("holds as many files as a directory may, and no more", async () => {
    await using cluster = await TestCluster.create(account);
    await using worker = await start(cluster);
    const sandbox = await hold(worker, { memoryMb: 256 });
    expect(await ask(worker, sandbox, { do: "crowd" })).toEqual([MOST_FILES, "ENOSPC"]);
  });

  it("counts to the sandbox's memory", async () => {
    await using cluster = await TestCluster.create(account);
    await using worker = await start(cluster);
    const call = worker.call({
      handler: "quota",
      event: { do: "fill", napSec: 30 },
      limits: { memoryMb: 50, scratchMb: 100 },
    });
    await expect(call).rejects.toMatchObject({ code: "OL_SANDBOX_OUT_OF_MEMORY" });
  });

  it("is the sandbox's own and empty; people find its output where they always do", async () => {
    await using cluster = await TestCluster.create(account);
    const logDir = path.join(cluster.directory, "logs");
    await using worker = await start(cluster, { logDir });
    const sandbox = await hold(worker);
    const directory = path.join(cluster.workDir, "handlers/quota", sandbox);
    const seen = (await ask(worker, sandbox, { do: "look", say: "said" })) as Record<string, unknown>;
    expect(seen).toMatchObject({ kind: "tmpfs", files: [], owned: true, mode: "0o700" });
    expect(seen["options"]).toEqual(expect.arrayContaining(["rw", "nosuid", "nodev"]));
    expect(seen["output"]).toBe("/stdout");
    await ask(worker, sandbox, { do: "fill" });
    expect(readdirSync(directory).sort()).toEqual(["server_pipe", "stderr", "stdout"]);
    expect(readFileSync(path.join(directory, "stdout"), "utf8")).toContain("said");
    await worker.ask("destroyHeld", { sandbox });
    expect(readFileSync(path.join(logDir, "quota", `${sandbox}.stdout`), "utf8")).toContain("said");
  });

  it("is gone with the sandbox, and nobody keeps anything of it", async () => {
    await using cluster = await TestCluster.create(account);
    // None that waits, which would come and go as it likes.
    await using worker = await start(cluster, { prepared: 0 });
    const used: unknown[] = [];
    for (let round = 0; round < 3; round += 1) {
      const sandbox = await hold(worker);
      await ask(worker, sandbox, { do: "fill" });
      expect(withScratch(worker)).toHaveLength(1);
      await worker.ask("destroyHeld", { sandbox });
      expect(await eventually(() => withScratch(worker).length === 0)).toBe(true);
      expect(await eventually(() => filesOf(cluster.workDir).length === 0)).toBe(true);
      used.push(usageOf(worker.brokerPid)?.descriptors);
    }
    expect(used[0]).toBeGreaterThan(0);
    expect(used[2]).toBe(used[0]);
  });

  it("of a killed broker is gone with its processes, and its directories with the next start", async () => {
    await using cluster = await TestCluster.create(account);
    await using first = await start(cluster);
    await ask(first, await hold(first), { do: "fill" });
    const holders = withScratch(first);
    expect(holders).not.toEqual([]);
    process.kill(first.brokerPid, "SIGKILL");
    expect(await eventually(() => !holders.some(identityLives))).toBe(true);
    await first.kill();
    const processes = (): string[] => cluster.leftovers().filter((line) => /^(process|mount)/.test(line));
    expect(await eventually(() => processes().length === 0)).toBe(true);
    await using next = await start(cluster);
    await next.close();
    expect(await eventually(() => cluster.leftovers().length === 0)).toBe(true);
  });
});
