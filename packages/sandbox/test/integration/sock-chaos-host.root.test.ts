import { mkdir } from "node:fs/promises";

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

  it("survives a full disk: who needs it is told, and it works again when there is room", async () => {
    await using cluster = await TestCluster.create(root);
    await mkdir(cluster.workDir);
    const script = `mount -t tmpfs -o size=1m,nr_inodes=100 small "$0" && exec "$@"`;
    const wrapper = ["unshare", "-m", "sh", "-c", script, cluster.workDir];
    await using worker = await cluster.start({ wrapper });
    const limits = { memoryMb: 50, scratchMb: 100 };
    for (let round = 0; round < 3; round += 1) {
      const filler = await worker.hold({ handler: "fill", limits });
      expect(await worker.ask("callHeld", { sandbox: filler })).toBe("ENOSPC");
      const call = worker.call({ handler: "hello", event: round });
      await expect(call).rejects.toMatchObject({
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
