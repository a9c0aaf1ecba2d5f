import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";

import { describe, expect, it } from "vitest";

import { freePorts } from "../../packages/common/src/index.ts";
import { eventually } from "../../packages/sandbox/test/support/cluster.ts";
import {
  descendantsOf,
  identityLives,
  leafRunning,
  treeOf,
  treesOf,
} from "../../packages/sandbox/test/support/leftovers.ts";
import { Random } from "../../packages/sandbox/test/support/random.ts";
import { scaled } from "../../packages/sandbox/test/support/scale.ts";
import { MODES, RealCluster, type RealWorker, brokerOf, callOver } from "./support/real-cluster.ts";

const ROUNDS = scaled(4, 100);
const TEST_MS = scaled(180_000, 3 * 3_600_000);
const LITTER = { depth: scaled(500, 5_000), closed: scaled(10, 100), files: scaled(10_000, 100_000) };
const LONGEST_MS = scaled(500, 5_000);
const CLIENTS = 4;
const random = Random.fromEnvironment();
console.info(`OL_TEST_SEED=${random.seed}`);

/** Calls without end until the signal; which statuses came. */
const underLoad = async (worker: RealWorker, stop: AbortSignal): Promise<number[]> => {
  const statuses = new Set<number>();
  const client = async (): Promise<void> => {
    while (!stop.aborted) {
      const { status } = await callOver(worker, "hello", 1);
      statuses.add(status);
      if (status === 0) await delay(10);
    }
  };
  const litter = [1, 2].map(() => callOver(worker, "litter", LITTER));
  await Promise.all([...Array.from({ length: CLIENTS }, client), ...litter]);
  return [...statuses];
};

const VICTIMS = {
  worker: (worker: RealWorker): number => worker.pid,
  broker: brokerOf,
  zygote: (worker: RealWorker): number => treeOf(brokerOf(worker)).zygote,
} as const;

/** Kills it at a random moment under load; waits until the worker is gone, as one without its broker ends by itself. */
const killUnderLoad = async (
  worker: RealWorker,
  victim: "worker" | "broker",
  where: string,
): Promise<void> => {
  const stop = new AbortController();
  const load = underLoad(worker, stop.signal);
  await delay(random.between(50, LONGEST_MS));
  process.kill(VICTIMS[victim](worker), "SIGKILL");
  assert.ok(await eventually(() => !identityLives(worker.pid)), where);
  stop.abort();
  await load;
};

/** `kill` as people type it; nothing may be there when it returned. */
const killAll = async (cluster: RealCluster, where: string): Promise<void> => {
  const { code, text } = await cluster.admin("kill");
  assert.equal(code, 0, `${where}: ${text}`);
  assert.deepEqual(cluster.leftovers(), [], where);
};

/** Starts what is dead; only the new worker may be there then, and works. */
const startAgain = async (cluster: RealCluster, port: number, where: string): Promise<RealWorker> => {
  const [worker] = await cluster.start(1, port);
  assert.ok(worker, where);
  assert.deepEqual(cluster.leftovers([worker.pid]), [], where);
  assert.deepEqual(await callOver(worker, "hello", 7), { status: 200, text: "7" }, where);
  return worker;
};

describe.each(MODES)("a cluster as $name", (mode) => {
  it.each(["worker", "broker"] as const)(
    "has nothing of a killed %s once the next start or `kill` returned, and works again",
    async (victim) => {
      const cluster = await RealCluster.create(mode);
      const port = await freePorts(3);
      let worker = await startAgain(cluster, port, "at first");
      for (let round = 0; round < ROUNDS; round += 1) {
        const where = `${victim}, round ${round}, OL_TEST_SEED=${random.seed}`;
        await killUnderLoad(worker, victim, where);
        if (random.next() < 0.5) await killAll(cluster, where);
        worker = await startAgain(cluster, port, where);
      }
      expect(await cluster.admin("kill")).toMatchObject({ code: 0 });
      expect(cluster.leftovers()).toEqual([]);
    },
    TEST_MS,
  );

  it(
    "goes on when a zygote is killed, and answers the next invocation",
    async () => {
      const cluster = await RealCluster.create(mode);
      const worker = await startAgain(cluster, await freePorts(3), "at first");
      const rounds = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        // The one that was killed in the last round has a successor from the next sandbox on.
        cluster.add("hello", `before-${round}`);
        expect(await callOver(worker, `before-${round}`, 1)).toEqual({ status: 200, text: "1" });
        assert.ok(await eventually(() => descendantsOf(worker.pid).some((pid) => treesOf(pid).length === 1)));
        const stop = new AbortController();
        const load = underLoad(worker, stop.signal);
        await delay(random.between(50, LONGEST_MS));
        process.kill(VICTIMS.zygote(worker), "SIGKILL");
        // One that has no sandbox yet, so that one has to be forked.
        cluster.add("hello", `fresh-${round}`);
        const next = await callOver(worker, `fresh-${round}`, "new");
        stop.abort();
        const wrong = (await load).filter((status) => status !== 200 && status !== 502);
        rounds.push({ next, wrong });
      }
      expect(rounds).toEqual(rounds.map(() => ({ next: { status: 200, text: '"new"' }, wrong: [] })));
      expect(await cluster.admin("kill")).toMatchObject({ code: 0 });
      expect(cluster.leftovers()).toEqual([]);
    },
    TEST_MS,
  );

  it("answers exactly one call with 502 when its sandbox is killed, and the next from a fresh one", async () => {
    const cluster = await RealCluster.create(mode);
    const worker = await startAgain(cluster, await freePorts(3), "at first");
    expect(await callOver(worker, "nap", 0)).toMatchObject({ status: 200 });
    const killed = callOver(worker, "nap", 30);
    await delay(200);
    const leaf = leafRunning(brokerOf(worker), "nap");
    if (leaf === undefined) throw new Error("the sandbox was not found");
    process.kill(leaf, "SIGKILL");
    const others = Promise.all([1, 2, 3].map((event) => callOver(worker, "hello", event)));
    expect((await killed).status).toBe(502);
    expect((await others).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(await callOver(worker, "nap", 0)).toEqual({ status: 200, text: '"slept"' });
    expect(await cluster.admin("kill")).toMatchObject({ code: 0 });
    expect(cluster.leftovers()).toEqual([]);
  });
});
