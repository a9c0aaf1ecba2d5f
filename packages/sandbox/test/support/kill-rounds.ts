import assert from "node:assert/strict";

import type { ChaosWorker } from "./chaos-worker.ts";
import { type TestCluster, eventually } from "./cluster.ts";
import { type Findings, leafOf, treeOf, treesOf } from "./leftovers.ts";
import type { Random } from "./random.ts";

/** Who is killed. */
export type Victim = "worker" | "broker" | "zygote";

export interface KillPlan {
  readonly rounds: number;
  readonly random: Random;
  /** What lies in the scratch directory of a sandbox when it is killed. */
  readonly litter: { readonly depth: number; readonly closed: number; readonly files: number };
  readonly clients: number;
  /** Longest time under load before the kill, in ms. */
  readonly longestMs: number;
  readonly onRound?: (round: number) => void;
}

const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const roomy = { memoryMb: 400, scratchMb: 1_000, cpuPercent: 400 };

/** Clients that make, call and destroy, and a sandbox that is littering, or has, or is about to. */
const underLoad = async (worker: ChaosWorker, plan: KillPlan): Promise<{ over: Promise<unknown> }> => {
  await worker.ask("load", { handler: "hello", event: 1, clients: plan.clients });
  const littering = worker
    .hold({ handler: "litter", limits: roomy })
    .then((sandbox) => litter(worker, sandbox, plan))
    .catch(() => "killed");
  const soon = delay(plan.random.between(0, plan.longestMs));
  await (plan.random.next() < 0.3 ? littering : soon);
  // In an object: a bare promise would be waited for.
  return { over: littering };
};

const litter = async (worker: ChaosWorker, sandbox: string, plan: KillPlan): Promise<void> => {
  await worker.ask("callHeld", { sandbox, event: plan.litter });
  await worker.ask("destroyHeld", { sandbox });
};

const kill = async (worker: ChaosWorker, victim: Victim): Promise<void> => {
  if (victim === "worker") return worker.kill();
  if (victim === "zygote") {
    // It may be starting only now.
    assert.ok(await eventually(() => treesOf(worker.brokerPid).length === 1));
    process.kill(treeOf(worker.brokerPid).zygote, "SIGKILL");
    return undefined;
  }
  process.kill(worker.brokerPid, "SIGKILL");
  // What a worker does that lost its engine: it ends, and whoever supervises it starts it again.
  assert.ok(await eventually(() => !isAlive(worker.brokerPid)));
  return worker.kill();
};

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/**
 * Kills `victim` at a random moment under load, starts again where that is needed, and looks for what stayed; again
 * and again. A zygote's death must be survived by the same worker. Returns what is left when that is closed.
 */
export const killRounds = async (cluster: TestCluster, victim: Victim, plan: KillPlan): Promise<Findings> => {
  let worker = await cluster.start();
  for (let round = 0; round < plan.rounds; round += 1) {
    const where = `${cluster.account.name}, ${victim}, round ${round}, OL_TEST_SEED=${plan.random.seed}`;
    const littering = await underLoad(worker, plan);
    await kill(worker, victim);
    await littering.over;
    if (victim === "zygote") await worker.ask("stopLoad");
    else worker = await cluster.start();
    if (victim !== "zygote") assert.deepEqual(cluster.leftovers(worker), [], where);
    assert.equal(await worker.call({ handler: "hello", event: round }), round, where);
    plan.onRound?.(round);
  }
  await worker.close();
  await eventually(() => cluster.leftovers().length === 0, 5_000);
  return cluster.leftovers();
};

/** Kills a sandbox's first process from outside in mid-call: that call fails once, the next one works. */
export const killSandbox = async (worker: ChaosWorker): Promise<string> => {
  const sandbox = await worker.hold({ handler: "nap", ready: true });
  const call = worker.ask("callHeld", { sandbox, event: 30 }).then(
    () => "answered",
    (error: { code: string }) => error.code,
  );
  const leaf = leafOf(worker.brokerPid, sandbox);
  assert.ok(leaf, "the sandbox's first process was not found");
  process.kill(leaf, "SIGKILL");
  return call;
};
