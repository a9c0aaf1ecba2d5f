import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { TestReply } from "../../packages/worker/test/http/clients.ts";
import { RawConnection } from "../../packages/worker/test/http/raw-connection.ts";
import { AppWorker, KINDS } from "./support/app-worker.ts";

const NAP_SEC = 0.3;

let worker: AppWorker;

beforeAll(async () => {
  worker = await AppWorker.start({ worker_slots: 16 });
});
afterAll(() => worker.close());

/** Calls it so often at once; how long that took, and the bodies of the replies. */
const atOnce = async (target: string, count: number): Promise<{ sec: number; bodies: string[] }> => {
  const beganMs = performance.now();
  const replies = await Promise.all(Array.from({ length: count }, () => worker.get(target)));
  const sec = (performance.now() - beganMs) / 1000;
  expect(replies.map(({ status }) => status)).toEqual(Array(count).fill(200));
  return { sec, bodies: replies.map(({ body }) => body.toString()) };
};

const statuses = async (replies: readonly Promise<TestReply>[]): Promise<number[]> =>
  (await Promise.all(replies)).map(({ status }) => status);

describe("concurrency in ol.yaml", () => {
  it("lets one sandbox of an ASGI app run so many requests at once", async () => {
    await worker.add("eight", "asgi", "max_instances: 1\nconcurrency: 8\n");
    await worker.get("/run/eight/noted");
    const napSec = 2;
    const { sec, bodies } = await atOnce(`/run/eight/sleep?${napSec}`, 8);
    expect(new Set(bodies).size).toBe(1);
    // If only seven of them ran at once, they would take twice as long as one.
    expect(sec).toBeLessThan(2 * napSec);
  });

  it("is 1 for an ASGI app that names none", async () => {
    await worker.add("one", "asgi", "max_instances: 1\n");
    await worker.get("/run/one/noted");
    const { sec } = await atOnce(`/run/one/sleep?${NAP_SEC}`, 4);
    expect(sec).toBeGreaterThan(4 * NAP_SEC);
  });

  it("changes nothing for a WSGI app or a function, which are one thread", async () => {
    await worker.add("thread", "wsgi", "max_instances: 1\nconcurrency: 8\n");
    await worker.addFunction(
      "sleeper",
      `import time\n\ndef f(event):\n    time.sleep(${NAP_SEC})\n`,
      "max_instances: 1\nconcurrency: 8\n",
    );
    await worker.get("/run/thread/noted");
    await worker.get("/run/sleeper");
    for (const target of [`/run/thread/sleep?${NAP_SEC}`, "/run/sleeper"])
      expect((await atOnce(target, 4)).sec).toBeGreaterThan(4 * NAP_SEC);
  });

  it("ends one request over runtime_sec with 504, and lets those beside it finish", async () => {
    await worker.add("limited", "asgi", "max_instances: 1\nconcurrency: 8\nlimits:\n  runtime_sec: 5\n");
    const { self } = await worker.noted("limited");
    const over = worker.get("/run/limited/sleep?30");
    const within = Array.from({ length: 3 }, () => worker.get("/run/limited/sleep?0.1"));
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    const beside = Array.from({ length: 3 }, () => worker.get("/run/limited/sleep?3"));
    expect(await statuses([over])).toEqual([504]);
    expect(await statuses([...within, ...beside])).toEqual(Array(6).fill(200));
    // Nobody knows what a coroutine does that was cancelled: the next request gets another sandbox.
    expect((await worker.noted("limited")).self).not.toBe(self);
  });

  it("lets a client that leaves free its place, and no other", async () => {
    await worker.add("two", "asgi", "max_instances: 1\nconcurrency: 2\n");
    const { self } = await worker.noted("two");
    const stays = worker.get("/run/two/sleep?4");
    const raw = new RawConnection(worker.port);
    await raw.write("GET /run/two/endless?1000 HTTP/1.1\r\nHost: a\r\n\r\n");
    await raw.through("xxx");
    raw.close();
    const beganMs = performance.now();
    expect((await worker.noted("two")).self).toBe(self);
    expect(performance.now() - beganMs).toBeLessThan(3_500);
    expect((await stays).body.toString()).toBe(JSON.stringify(self));
  });
});

/** The durations in ms of a reply's Server-Timing. */
const timing = ({ headers }: TestReply): Record<string, number> =>
  Object.fromEntries(
    (headers["server-timing"] ?? "").split(", ").map((metric) => {
      const [, name = "", dur = ""] = /^(\w+);dur=(\d+\.\d\d)$/u.exec(metric) ?? [];
      return [name, Number(dur)];
    }),
  );

describe.each([...KINDS, "function"] as const)("Server-Timing (%s)", (kind) => {
  it("says of a cold call how long making the sandbox and loading the code took, and of a warm one neither", async () => {
    const name = `timed-${kind}`;
    const napping = `import time\ntime.sleep(${NAP_SEC})\n`;
    if (kind === "function")
      await worker.addFunction(
        name,
        `${napping}\ndef f(event):\n    time.sleep(${NAP_SEC})\n    return "${NAP_SEC}"\n`,
      );
    else await worker.add(name, kind);
    const beganMs = performance.now();
    const cold = timing(await worker.get(`/run/${name}/sleep?${NAP_SEC}`));
    const tookMs = performance.now() - beganMs;
    const warm = timing(await worker.get(`/run/${name}/sleep?${NAP_SEC}`));
    expect(Object.keys(cold).filter((phase) => phase !== "memory")).toEqual([
      "queue",
      "fork",
      "import",
      "run",
    ]);
    expect(Object.keys(warm)).toEqual(["queue", "run"]);
    // A busy worker hears late that the code is loaded: the code may run by then.
    const napsMs = (kind === "function" ? 2 : 1) * NAP_SEC * 1000;
    const totalMs = Object.values(cold).reduce((sum, ms) => sum + ms);
    expect(totalMs).toBeGreaterThanOrEqual(napsMs - 1);
    expect(totalMs).toBeLessThanOrEqual(tookMs);
    expect(cold["import"]).toBeGreaterThan(kind === "function" ? (NAP_SEC * 1000) / 2 : 0);
    expect(warm["run"]).toBeGreaterThanOrEqual(NAP_SEC * 1000 - 1);
    expect(warm["queue"]).toBeLessThan(NAP_SEC * 1000);
  });
});

it("Server-Timing of a reply that is still going on does not say how long it ran", async () => {
  await worker.add("going-on", "wsgi");
  await worker.get("/run/going-on/noted");
  expect(Object.keys(timing(await worker.get("/run/going-on/download?2")))).toEqual(["queue"]);
});
