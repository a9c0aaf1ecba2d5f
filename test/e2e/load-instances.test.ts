import { setTimeout as delay } from "node:timers/promises";

import { describe, expect, it } from "vitest";

import { SLOWNESS } from "../../packages/sandbox/test/support/scale.ts";
import { atOnce, clientsFor, LoadRig, named, report, type WorkerStats } from "./support/load.ts";

/** Pids are the same in all of them: each is the first process of its namespace. */
const ONCE = `import uuid
me = uuid.uuid4().hex
calls = 0
def f(event, context):
    global calls
    note(context)
    calls += 1
    return f"{me}:{calls}"
`;
const RUN_MS = 2_000;
const CACHE_MS = 200;
const KEPT = 2;
const LOAD_MS = 1_000;
const WAIT_MS = 40_000 * SLOWNESS;
const KEEP_YAML = `min_instances: ${KEPT}\n`;

/** Loading it takes so long that a call which waits for it cannot be taken for another. */
const slowToLoad = (version: number): string =>
  `import time\ntime.sleep(${LOAD_MS / 2_000})\ndef f(event, context):\n    note(context)\n    return ${version}\n`;

const idleOf = ({ functions, sandboxes }: WorkerStats, name: string): number =>
  functions.some((fn) => fn.name === name && fn.kind !== undefined)
    ? sandboxes.filter(({ lambda, state }) => lambda === name && state === "idle").length
    : 0;

const kept = async (rig: LoadRig, name: string): Promise<void> => {
  await expect
    .poll(async () => idleOf(await rig.stats(), name), { timeout: WAIT_MS, interval: 50 })
    .toBe(KEPT);
  // All of them began to load at once, and one has: how far the others are is told by nothing but their next call.
  await delay(3 * LOAD_MS * SLOWNESS);
};

/** As many calls at once as are kept warm: none waits for a sandbox or for code to be loaded. */
const expectWarm = async (rig: LoadRig, name: string, version: number): Promise<void> => {
  const answers = await atOnce(KEPT, () => rig.call(name, {}));
  expect(answers.map(({ status, text }) => `${status} ${text}`)).toEqual(Array(KEPT).fill(`200 ${version}`));
  for (const { headers } of answers) expect(headers["server-timing"]).not.toMatch(/memory|fork|import/u);
};

describe("a function with min_instances", () => {
  it("is warm before its first call, after the worker was started anew, and after its code changed", async () => {
    const rig = await LoadRig.start({ registry_cache_ms: CACHE_MS });
    rig.add("kept", slowToLoad(1), KEEP_YAML);
    // It is looked for at the start, and now and then.
    await rig.restart();
    await kept(rig, "kept");
    await expectWarm(rig, "kept", 1);
    rig.add("kept", slowToLoad(2), KEEP_YAML);
    await expect
      .poll(async () => (await rig.call("kept", {})).text, { timeout: WAIT_MS, interval: 20 })
      .toBe("2");
    await expectWarm(rig, "kept", 2);
    await rig.restart();
    await kept(rig, "kept");
    await expectWarm(rig, "kept", 2);
  });
});

describe("a function with `reuse-sandbox: false`", () => {
  it("runs each call in a sandbox of its own, under load too", async () => {
    const rig = await LoadRig.start({ worker_slots: 6 });
    rig.add("single", ONCE, "reuse-sandbox: false\n");
    const answers = await clientsFor(6, RUN_MS, () => rig.call("single", {}));
    const { pool } = await rig.settled();
    report("reuse-sandbox: false", { calls: answers.length, created: pool.created });
    expect(named(answers.filter(({ status }) => status !== 200))).toEqual([]);
    expect(rig.miscounted(answers)).toEqual([]);
    expect(answers.length).toBeGreaterThan(10);
    expect(new Set(answers.map(({ text }) => text)).size).toBe(answers.length);
    expect(answers.filter(({ text }) => !text.endsWith(':1"')).length).toBe(0);
    expect(pool.created).toBeGreaterThanOrEqual(answers.length);
  });
});
