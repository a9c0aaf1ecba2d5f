import { mkdir, mkdtemp, open, readdir, rm } from "node:fs/promises";
import path from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import { accounts, forgetAccounts } from "../support/accounts.ts";
import { TestCluster } from "../support/cluster.ts";

afterAll(forgetAccounts);

const [root] = await accounts();
if (root === undefined) throw new Error("there is no account to test with");

describe("as root", () => {
  it("works on read-only control groups, and says that limits by them are not in force", async () => {
    await using cluster = await TestCluster.create(root);
    // In a mount namespace of its own: the host's stay as they are.
    const script = `
      for point in $(awk '$9 ~ /^cgroup/ || $10 ~ /^cgroup/ { print $5 }' /proc/self/mountinfo); do
        mount -o remount,bind,ro "$point" || exit 1
      done
      exec "$@"`;
    await using worker = await cluster.start({ wrapper: ["unshare", "-m", "sh", "-c", script, "sh"] });
    expect(await worker.call({ handler: "hello", event: 1 })).toBe(1);
    const { enforcement } = await worker.stats();
    expect(enforcement).toMatchObject({ memory: "rlimit", procs: "rlimit", cpu: "none", rootless: false });
    expect(enforcement.notes.length).toBeGreaterThan(0);
  });

  it("gives nobody a control group that still pays for another's files", async () => {
    await using cluster = await TestCluster.create(root);
    // Files in memory cannot be written out, so they stay counted for as long as somebody has them open.
    const workDir = await mkdtemp("/dev/shm/ol-burden-");
    try {
      await using worker = await cluster.start({ engine: { workDir, prepared: 1, mostPrepared: 1 } });
      const stored = await worker.hold({ handler: "store", limits: { memoryMb: 300, scratchMb: 200 } });
      expect(await worker.ask("callHeld", { sandbox: stored, event: { mb: 100 } })).toBe("stored");
      const [name] = await readdir(path.join(workDir, "handlers", "store"));
      await using file = await open(path.join(workDir, "handlers", "store", name ?? "", "stored"));
      await worker.ask("destroyHeld", { sandbox: stored });
      for (let round = 0; round < 5; round += 1)
        expect(await worker.call({ handler: "hello", event: round, limits: { memoryMb: 50 } })).toBe(round);
      expect((await file.stat()).size).toBe(100 * 1024 * 1024);
    } finally {
      await rm(workDir, { recursive: true, force: true });
    }
  });

  it("survives a full disk: who needs it is told, and it works again when there is room", async () => {
    await using cluster = await TestCluster.create(root);
    await mkdir(cluster.workDir);
    const script = `mount -t tmpfs -o size=1m,nr_inodes=100 small "$0" && exec "$@"`;
    const wrapper = ["unshare", "-m", "sh", "-c", script, cluster.workDir];
    await using worker = await cluster.start({ wrapper });
    const limits = { memoryMb: 50, scratchMb: 100 };
    for (let round = 0; round < 3; round += 1) {
      const filler = await worker.hold({ handler: "fill", limits });
      // What is left of earlier sandboxes is removed meanwhile, and its room has to be filled as well.
      const refusal = async (): Promise<unknown> => {
        expect(await worker.ask("callHeld", { sandbox: filler })).toBe("ENOSPC");
        return worker.call({ handler: "hello", event: round }).catch((error: unknown) => error);
      };
      await expect.poll(refusal, { timeout: 5_000 }).toMatchObject({
        code: "OL_SANDBOX_CREATE_FAILED",
        message: expect.stringContaining("No space left") as string,
      });
      await worker.ask("destroyHeld", { sandbox: filler });
      await expect
        .poll(() => worker.call({ handler: "hello", event: round }).catch(() => "full"), { timeout: 5_000 })
        .toBe(round);
    }
    expect((await worker.stats()).pool.promisedMb).toBe(0);
  });
});
