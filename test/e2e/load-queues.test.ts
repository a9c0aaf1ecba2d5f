import { setTimeout as delay } from "node:timers/promises";

import { describe, expect, it, onTestFinished } from "vitest";

import { ProxyProof } from "../../packages/common/src/index.ts";
import { Gate, GATED } from "./support/gate.ts";
import { atOnce, LoadRig, statusesOf } from "./support/load.ts";

const QUICK = "def f(event, context):\n    note(context)\n    return sorted(context.headers)\n";
const DEADLINE_MS = 300;
const BEYOND_DEADLINE_MS = 1_500;

const gate = async (): Promise<Gate> => {
  const made = await Gate.create();
  onTestFinished(() => made[Symbol.asyncDispose]());
  return made;
};

/** A worker whose one sandbox of `gated` is held by a call. */
const held = async (config: Readonly<Record<string, unknown>>, yaml: string) => {
  const rig = await LoadRig.start({ queue_timeout_ms: 60_000, ...config });
  const closed = await gate();
  rig.add("gated", GATED, `max_instances: 1\n${yaml}`);
  rig.add("quick", QUICK);
  const first = rig.call("gated", closed.port);
  await closed.holds(1);
  return { rig, first, open: () => closed.open() };
};

const queued = async (rig: LoadRig, count: number): Promise<void> => {
  await expect.poll(async () => (await rig.stats()).queued, { timeout: 30_000 }).toBe(count);
};

describe("calls that find a queue full", () => {
  it("of `queue: 3` get 429 with Retry-After, and those that wait are answered", async () => {
    const { rig, first, open } = await held({}, "queue: 3\n");
    const waiting = atOnce(3, () => rig.call("gated", 0));
    await queued(rig, 3);
    const beyond = await atOnce(6, () => rig.call("gated", 0));
    expect(statusesOf(beyond)).toEqual({ 429: 6 });
    expect(beyond.map(({ headers }) => headers["retry-after"])).toEqual(Array(6).fill("1"));
    const quick = await rig.call("quick", {});
    open();
    const answered = [await first, quick, ...(await waiting)];
    expect(statusesOf(answered)).toEqual({ 200: 5 });
    await rig.settled();
    expect(rig.miscounted([...answered, ...beyond])).toEqual([]);
  });

  it("of the worker get 503, not started, with Retry-After, while other functions are served", async () => {
    const { rig, first, open } = await held({ worker_slots: 2 }, "queue: 100000\n");
    // A function may hold half of the worker's 4,000.
    const calls = atOnce(2_010, () => rig.call("gated", 0));
    await queued(rig, 2_000);
    const quick = await rig.call("quick", {});
    open();
    const answers = [await first, quick, ...(await calls)];
    await rig.settled();
    expect(statusesOf(answers)).toEqual({ 200: 2_002, 503: 10 });
    for (const { headers } of answers.filter(({ status }) => status === 503))
      expect(headers).toMatchObject({ "retry-after": "1", "x-ol-not-started": "1" });
    expect(rig.miscounted(answers)).toEqual([]);
  });
});

describe("X-OL-Deadline-Ms", () => {
  const TOKEN = "a token of this test only";
  const headers = { "X-OL-Deadline-Ms": String(DEADLINE_MS) };

  it("of a trusted proxy is how long a call waits, and one that waited so long is never run", async () => {
    const { rig, first, open } = await held({ token: TOKEN }, "");
    const late = await rig.call("gated", 0, { ...headers, "X-OL-Proxy": new ProxyProof(TOKEN).text() });
    expect(late).toMatchObject({ status: 503, headers: { "x-ol-not-started": "1", "retry-after": "1" } });
    expect(late.ms).toBeGreaterThanOrEqual(DEADLINE_MS - 20);
    open();
    expect(await first).toMatchObject({ status: 200 });
    await rig.settled();
    expect(rig.miscounted([await first, late])).toEqual([]);
  });

  it("of anybody else counts for nothing, and the lambda does not see it", async () => {
    const { rig, first, open } = await held({ trusted_proxies: ["10.0.0.0/8"] }, "");
    const seen = await rig.call("quick", {}, headers);
    expect(seen.text).not.toContain("x-ol-");
    const call = rig.call("gated", 0, headers);
    await delay(BEYOND_DEADLINE_MS);
    open();
    const waited = await call;
    expect(waited.ms).toBeGreaterThan(BEYOND_DEADLINE_MS - 100);
    const answers = [await first, waited, seen];
    expect(statusesOf(answers)).toEqual({ 200: 3 });
    await rig.settled();
    expect(rig.miscounted(answers)).toEqual([]);
  });
});
