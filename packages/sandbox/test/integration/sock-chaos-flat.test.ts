import { readFileSync } from "node:fs";

import { afterAll, describe, expect, it } from "vitest";

import { accounts, forgetAccounts } from "../support/accounts.ts";
import type { ChaosWorker } from "../support/chaos-worker.ts";
import { TestCluster } from "../support/cluster.ts";
import { type Findings, cgroupsOf, descendantsOf, usageOf } from "../support/leftovers.ts";
import { scaled } from "../support/scale.ts";

const CYCLES = scaled(1_000, 10_000);
const ALIVE = scaled(100, 1_000);
const TEST_MS = scaled(120_000, 3_600_000);
const BROKER_GROWTH = 1.05;
// What code that is compiled late takes. One sandbox that is not forgotten holds some kilobytes, in each of the cycles.
const WORKER_HEAP_KB = 1_024;

afterAll(forgetAccounts);

interface Usage {
  readonly exact: {
    readonly workerDescriptors: number;
    readonly brokerDescriptors: number;
    readonly groups: number;
    readonly mounts: number;
    readonly leftovers: Findings;
  };
  readonly brokerResidentKb: number;
  /** Node's resident memory grows for long by how its collector works; what is in use does not. */
  readonly workerHeapKb: number;
}

/** How many processes wait follows demand, which is a matter of luck on a busy machine; here one waits always. */
const STEADY = { mostPrepared: 1 };

/** What a worker and its broker hold when no sandbox is alive. */
const usage = async (cluster: TestCluster, worker: ChaosWorker): Promise<Usage> => {
  await expect.poll(async () => (await worker.stats()).pool.sandboxes, { timeout: 10_000 }).toBe(0);
  // One is always kept ready.
  await expect.poll(() => descendantsOf(worker.brokerPid).length, { timeout: 10_000 }).toBe(3);
  const workerHeapKb = (await worker.ask("heapKb")) as number;
  const ofWorker = usageOf(worker.pid);
  const ofBroker = usageOf(worker.brokerPid);
  if (ofWorker === null || ofBroker === null) throw new Error("a process is gone");
  return {
    exact: {
      workerDescriptors: ofWorker.descriptors,
      brokerDescriptors: ofBroker.descriptors,
      groups: cgroupsOf(cluster.id).length,
      mounts: readFileSync(`/proc/${worker.brokerPid}/mountinfo`, "utf8").split("\n").length,
      leftovers: cluster.leftovers(worker),
    },
    brokerResidentKb: ofBroker.residentKb,
    workerHeapKb,
  };
};

describe.each(await accounts())("as $name", (account) => {
  it(
    "makes and destroys sandboxes without using up anything",
    async () => {
      await using cluster = await TestCluster.create(account);
      await using worker = await cluster.start({ engine: STEADY });
      await worker.ask("cycles", { handler: "hello", event: 1, count: 100 });
      const before = await usage(cluster, worker);
      await worker.ask("cycles", { handler: "hello", event: 1, count: CYCLES - 100 });
      const after = await usage(cluster, worker);
      console.info(`${account.name}: ${CYCLES} cycles`, JSON.stringify({ before, after }));
      expect(after.exact).toEqual(before.exact);
      expect(after.brokerResidentKb).toBeLessThan(before.brokerResidentKb * BROKER_GROWTH);
      expect(after.workerHeapKb).toBeLessThan(before.workerHeapKb + WORKER_HEAP_KB);
    },
    TEST_MS,
  );

  it(
    "keeps many sandboxes alive at once, and frees all that they took",
    async () => {
      await using cluster = await TestCluster.create(account);
      await using worker = await cluster.start({ memoryMb: ALIVE * 50, engine: STEADY });
      const held: string[] = [];
      for (let number = 0; number < ALIVE; number += 1) held.push(await worker.hold({ handler: "hello" }));
      const replies = held.map((sandbox, number) => worker.ask("callHeld", { sandbox, event: number }));
      expect(await Promise.all(replies)).toEqual(held.map((_, number) => number));
      const high = usageOf(worker.brokerPid);
      await Promise.all(held.map((sandbox) => worker.ask("destroyHeld", { sandbox })));
      const low = await usage(cluster, worker);
      console.info(`${account.name}: ${ALIVE} alive`, JSON.stringify({ high, low }));
      expect(low.exact.brokerDescriptors).toBeLessThan(80);
      expect(low.exact.groups).toBeLessThan(160);
      await worker.close();
      await expect.poll(() => cluster.leftovers(), { timeout: 20_000 }).toEqual([]);
    },
    TEST_MS,
  );
});
