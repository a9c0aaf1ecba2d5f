import { describe, expect, it } from "vitest";

import { Random } from "../../packages/sandbox/test/support/random.ts";
import { clientsFor, LoadRig, quantile, report, statusesOf } from "./support/load.ts";

const FUNCTIONS = 12;
const SANDBOX_MB = 50;
const POOL_MB = (FUNCTIONS / 3) * SANDBOX_MB;
const RUN_MS = 4_000;
const SAMPLE_MS = 20;
const CODE =
  "import time\ndef f(event, context):\n    note(context)\n    time.sleep(event)\n    return event\n";

const random = Random.fromEnvironment();
console.info(`OL_TEST_SEED=${random.seed}`);

/** The most memory that was promised at any look, until the signal. */
const mostPromised = async (rig: LoadRig, stop: AbortSignal): Promise<{ looks: number; mostMb: number }> => {
  let mostMb = 0;
  let looks = 0;
  for (; !stop.aborted; looks += 1) {
    const { pool } = await rig.stats();
    mostMb = Math.max(mostMb, pool.promisedMb);
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
  }
  return { looks, mostMb };
};

describe("twelve functions with memory for four", () => {
  it("are all answered, run once each, within the memory there is, by sandboxes taken from each other", async () => {
    const rig = await LoadRig.start({ mem_pool_mb: POOL_MB, pause_linger_ms: 50 });
    for (let at = 0; at < FUNCTIONS; at += 1) rig.add(`f-${at}`, CODE);
    const stop = new AbortController();
    const watched = mostPromised(rig, stop.signal);
    const answers = await clientsFor(8, RUN_MS, () => {
      const lambda = `f-${Math.floor(random.between(0, FUNCTIONS))}`;
      return rig.call(lambda, random.next() < 0.1 ? random.between(0.01, 0.1) : 0);
    });
    stop.abort();
    const { looks, mostMb } = await watched;
    const { pool, calls } = await rig.settled();
    expect(statusesOf(answers)).toEqual({ 200: answers.length });
    expect(rig.miscounted(answers)).toEqual([]);
    report("eviction", {
      callsPerSec: answers.length / (RUN_MS / 1000),
      coldShare: calls.cold / calls.answered,
      evicted: pool.evicted,
      mostMb,
      looks,
      p95Ms: quantile(
        answers.map(({ ms }) => ms),
        0.95,
      ),
    });
    expect(pool.memoryMb).toBe(POOL_MB);
    expect(looks).toBeGreaterThan(10);
    expect(mostMb).toBeGreaterThan(POOL_MB / 2);
    expect(mostMb).toBeLessThanOrEqual(POOL_MB);
    expect(pool.evicted).toBeGreaterThan(0);
  });
});
