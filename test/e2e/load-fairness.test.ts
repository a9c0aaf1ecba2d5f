import { setTimeout as delay } from "node:timers/promises";

import { describe, expect, it } from "vitest";

import { SLOWNESS } from "../../packages/sandbox/test/support/scale.ts";
import { type Answer, clientsFor, LoadRig, quantile, report, statusesOf } from "./support/load.ts";

const HOT =
  "import time\ndef f(event, context):\n    note(context)\n    time.sleep(0.01)\n    return event\n";
const COLD = "def f(event, context):\n    note(context)\n    return event\n";
const SANDBOX_MB = 50;
const RUN_MS = 3_000;
const COLD_EVERY_MS = 150;
/** A start on a machine that is busy with other tests, and a slot or a sandbox that has to come free first. */
const COLD_P95_MS = 2_500 * SLOWNESS;

describe("one function with 50 clients", () => {
  it.each([
    ["slots are short", { worker_slots: 4 }],
    ["memory is short", { worker_slots: 32, mem_pool_mb: 6 * SANDBOX_MB }],
  ])("keeps five others, called now and then, waiting only briefly where %s", async (what, config) => {
    const rig = await LoadRig.start(config);
    rig.add("hot", HOT);
    for (let at = 0; at < 5; at += 1) rig.add(`cold-${at}`, COLD);
    const hot = clientsFor(50, RUN_MS, () => rig.call("hot", 1));
    const cold = clientsFor(5, RUN_MS, async (at): Promise<Answer> => {
      await delay(COLD_EVERY_MS);
      return rig.call(`cold-${at}`, at);
    });
    const [hots, colds] = await Promise.all([hot, cold]);
    const { pool } = await rig.settled();
    expect(statusesOf(hots)).toEqual({ 200: hots.length });
    expect(statusesOf(colds)).toEqual({ 200: colds.length });
    expect(rig.miscounted([...hots, ...colds])).toEqual([]);
    const ms = colds.map((answer) => answer.ms);
    report(`fairness, ${what}`, {
      hotCallsPerSec: hots.length / (RUN_MS / 1000),
      coldCalls: colds.length,
      coldP50Ms: quantile(ms, 0.5),
      coldP95Ms: quantile(ms, 0.95),
      evicted: pool.evicted,
    });
    expect(quantile(ms, 0.95)).toBeLessThan(COLD_P95_MS);
  });
});
