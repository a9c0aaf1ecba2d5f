import { describe, expect, it } from "vitest";

import { SLOWNESS } from "../../packages/sandbox/test/support/scale.ts";
import {
  type Answer,
  atOnce,
  LoadRig,
  named,
  quantile,
  report,
  statusesOf,
  type WorkerStats,
} from "./support/load.ts";

const NAP =
  "import time\ndef f(event, context):\n    note(context)\n    time.sleep(0.05)\n    return event\n";
const QUICK = "def f(event, context):\n    note(context)\n    return event\n";
const CALLS = 100;
const NAP_MS = 50;
const SLOTS = 16;
/** A sandbox can be made within this on a machine that is busy with other tests; all that a burst needs are made at once. */
const START_MS = 2_000 * SLOWNESS;

const instancesOf = ({ functions }: WorkerStats, name: string): number => {
  const counts = functions.find((fn) => fn.name === name)?.instances ?? {};
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
};

/** Each got its own event back, and was run once. */
const expectAllRight = async (rig: LoadRig, answers: readonly Answer[]): Promise<WorkerStats> => {
  const stats = await rig.settled();
  expect(statusesOf(answers)).toEqual({ 200: answers.length });
  expect(named(answers.filter(({ event, text }) => text !== JSON.stringify(event)))).toEqual([]);
  expect(rig.miscounted(answers)).toEqual([]);
  return stats;
};

describe("a burst of 100 calls that take 50 ms each", () => {
  it(
    "does not run one after another, be the function cold or warm, and makes no more sandboxes than slots",
    { retry: 2 },
    async () => {
      const rig = await LoadRig.start({ worker_slots: SLOTS });
      rig.add("nap", NAP);
      const all: Answer[] = [];
      for (const state of ["cold", "warm", "warm again"]) {
        const beganMs = performance.now();
        const answers = await atOnce(CALLS, (at) => rig.call("nap", `${state} ${at}`));
        const tookMs = performance.now() - beganMs;
        all.push(...answers);
        const stats = await expectAllRight(rig, all);
        const sandboxes = instancesOf(stats, "nap");
        report(`burst, ${state}`, {
          tookMs,
          sandboxes,
          p50Ms: quantile(
            answers.map(({ ms }) => ms),
            0.5,
          ),
        });
        // With half of the slots, and a start. One after another they would take five seconds.
        expect(tookMs).toBeLessThan((2 * CALLS * NAP_MS) / SLOTS + START_MS);
        expect(sandboxes).toBeGreaterThan(SLOTS / 2);
        expect(sandboxes).toBeLessThanOrEqual(SLOTS);
      }
    },
  );
});

describe("many first calls at once", () => {
  // A first call that the machine holds up for 20 ms looks slow, and forty are made.
  it("of a quick function make a few sandboxes, not one each", { retry: 3 }, async () => {
    const rig = await LoadRig.start({ worker_slots: 64 });
    rig.add("quick", QUICK);
    const answers = await atOnce(64, (at) => rig.call("quick", at));
    const { pool } = await expectAllRight(rig, answers);
    report("stampede of one", {
      created: pool.created,
      slowestMs: quantile(
        answers.map(({ ms }) => ms),
        1,
      ),
    });
    expect(pool.created).toBeGreaterThanOrEqual(1);
    // One, and where the machine is so busy that quick calls look slow, a few more.
    expect(pool.created).toBeLessThanOrEqual(16);
  });

  it("of ten functions are all answered, by a few sandboxes of each", async () => {
    const rig = await LoadRig.start({ worker_slots: 64 });
    for (let at = 0; at < 10; at += 1) rig.add(`quick-${at}`, QUICK);
    const answers = await atOnce(64, (at) => rig.call(`quick-${at % 10}`, at));
    const { pool } = await expectAllRight(rig, answers);
    report("stampede of ten", {
      created: pool.created,
      slowestMs: quantile(
        answers.map(({ ms }) => ms),
        1,
      ),
    });
    expect(pool.created).toBeGreaterThanOrEqual(10);
    expect(pool.created).toBeLessThanOrEqual(30);
  });
});
