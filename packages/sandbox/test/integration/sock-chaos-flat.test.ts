import { readFileSync } from "node:fs";

import { afterAll, describe, expect, it } from "vitest";

import { accounts, forgetAccounts } from "../support/accounts.ts";
import type { ChaosWorker } from "../support/chaos-worker.ts";
import { TestCluster } from "../support/cluster.ts";
import { type Findings, type ProcessUsage, cgroupsOf, descendantsOf, usageOf } from "../support/leftovers.ts";
import { scaled } from "../support/scale.ts";

const CYCLES = scaled(1_000, 100_000);
const CLIENTS = 16;
/** At first more clients: so many that the broker then keeps as many control groups ready as it ever does. */
const WARMING = 48;
const ALIVE = scaled(100, 1_000);
const TEST_MS = scaled(120_000, 3_600_000);
/** From a tenth of the cycles to all of them. */
const GROWTH = 1.05;
// In few cycles node's memory still grows by how its collector works; what is in use does not.
const WORKER_GROWTH = scaled(4, GROWTH);
// What code that is compiled late takes. One sandbox that is not forgotten holds some kilobytes, in each of the cycles.
const WORKER_HEAP_KB = 1_024;

afterAll(forgetAccounts);

type Memory = Omit<ProcessUsage, "descriptors">;
/** PSS as a whole is told and not compared: it changes with who else runs the same programs on this machine. */
const MEMORY_KINDS = ["residentKb", "anonymousKb"] as const satisfies readonly (keyof Memory)[];

interface Usage {
  readonly exact: {
    readonly workerDescriptors: number;
    readonly brokerDescriptors: number;
    readonly groups: number;
    readonly mounts: number;
    readonly leftovers: Findings;
  };
  readonly worker: Memory;
  readonly broker: Memory;
  readonly workerHeapKb: number;
}

/** How many processes wait follows demand, which is a matter of luck on a busy machine; here one waits always. */
const STEADY = { mostPrepared: 1 };

/** What a worker and its broker hold when no sandbox is alive. */
const usage = async (cluster: TestCluster, worker: ChaosWorker): Promise<Usage> => {
  await expect.poll(async () => (await worker.stats()).pool.sandboxes, { timeout: 10_000 }).toBe(0);
  // One is always kept ready; what a burst had forked in advance goes after some seconds.
  await expect.poll(() => descendantsOf(worker.brokerPid).length, { timeout: 30_000 }).toBe(3);
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
      // The socket of the sandbox that waits to be used has another number each time.
      leftovers: cluster.leftovers(worker).map((line) => line.replace(/\.\d+\.sock$/, ".N.sock")),
    },
    worker: memoryOf(ofWorker),
    broker: memoryOf(ofBroker),
    workerHeapKb,
  };
};

const promisedMb = async (worker: ChaosWorker): Promise<number> => (await worker.stats()).pool.promisedMb;

const memoryOf = ({ residentKb, proportionalKb, anonymousKb }: ProcessUsage): Memory => ({
  residentKb,
  proportionalKb,
  anonymousKb,
});

/** Does something to each of them, from sixteen clients at once; the results come in the order of the list. */
const fromClients = async <Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> => {
  const results: Result[] = [];
  const entries = items.entries();
  const client = async (): Promise<void> => {
    for (const [at, item] of entries) results[at] = await work(item);
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return results;
};

describe.each(await accounts())("as $name", (account) => {
  it(
    "makes and destroys sandboxes without using up anything",
    async () => {
      await using cluster = await TestCluster.create(account);
      await using worker = await cluster.start({ memoryMb: 5_000, engine: STEADY });
      const work = { handler: "hello", event: 1, clients: CLIENTS };
      await worker.ask("cycles", { ...work, clients: WARMING, count: CYCLES / 10 });
      const before = await usage(cluster, worker);
      await worker.ask("cycles", { ...work, count: CYCLES - CYCLES / 10 });
      const after = await usage(cluster, worker);
      console.info(`${account.name}: ${CYCLES} cycles`, JSON.stringify({ before, after }));
      expect(after.exact).toEqual(before.exact);
      for (const kind of MEMORY_KINDS) {
        expect(after.broker[kind]).toBeLessThan(before.broker[kind] * GROWTH);
        expect(after.worker[kind]).toBeLessThan(before.worker[kind] * WORKER_GROWTH);
      }
      expect(after.workerHeapKb).toBeLessThan(before.workerHeapKb + WORKER_HEAP_KB);
    },
    TEST_MS,
  );

  it(
    "makes, pauses, wakes and destroys many sandboxes at once, and frees all that they took",
    async () => {
      await using cluster = await TestCluster.create(account);
      await using worker = await cluster.start({ memoryMb: ALIVE * 50, engine: STEADY });
      const numbers = Array.from({ length: ALIVE }, (_, number) => number);
      const held = await fromClients(numbers, () => worker.hold({ handler: "hello", ready: true }));
      const callAll = (): Promise<unknown[]> =>
        fromClients(numbers, (number) => worker.ask("callHeld", { sandbox: held[number], event: number }));
      expect(await callAll()).toEqual(numbers);
      const high = usageOf(worker.brokerPid);
      const paused = await fromClients(held, (sandbox) => worker.ask("pauseHeld", { sandbox }));
      expect(paused).toEqual(held.map(() => true));
      // What they do not hold is lent out, and comes back with the calls that wake them.
      await expect.poll(() => promisedMb(worker), { timeout: 10_000 }).toBeLessThan(ALIVE * 25);
      const lent = await promisedMb(worker);
      expect(await callAll()).toEqual(numbers);
      expect(await promisedMb(worker)).toBe(ALIVE * 50);
      await fromClients(held, (sandbox) => worker.ask("destroyHeld", { sandbox }));
      const low = await usage(cluster, worker);
      console.info(`${account.name}: ${ALIVE} alive`, JSON.stringify({ high, pausedMb: lent, low }));
      expect(low.exact.brokerDescriptors).toBeLessThan(80);
      expect(low.exact.groups).toBeLessThan(160);
      await worker.close();
      await expect.poll(() => cluster.leftovers(), { timeout: 20_000 }).toEqual([]);
    },
    TEST_MS,
  );
});
