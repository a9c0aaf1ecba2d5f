import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import { expect, it, onTestFinished } from "vitest";

import { openLoop, type Plan, play, type Played, type PlayTarget, urlTarget } from "../../src/index.ts";

const STALL_MS = 600;
const CALLS = 100;
/** A call every 10 ms. */
const PLAN: Plan = {
  functions: ["hello"],
  calls: Array.from({ length: CALLS }, (_, at) => ({ function: 0, dueMs: at * 10, runMs: 0 })),
  timed: true,
  cut: 0,
};

/** A server that answers at once, but for a time after its tenth request in which it answers nobody. */
const startStalling = async (): Promise<PlayTarget> => {
  let requests = 0;
  let stall: Promise<unknown> = Promise.resolve();
  const server = createServer((request, response) => {
    requests += 1;
    if (requests === 10) stall = sleep(STALL_MS);
    request.resume();
    void stall.then(() => response.end("{}"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return urlTarget(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, PLAN.functions, "{}");
};

/** How large a share of the calls took at least a third of the stall, from when they were due. */
const slowShare = ({ tally }: Played): number => {
  const rows = tally.rows("", 1_000, {});
  const times = rows.find(({ labels }) => labels?.["what"] === "from when it was due");
  expect(times?.values.count).toBe(CALLS);
  const slow = tally.curve().find(([, ms]) => ms >= STALL_MS / 3);
  return slow === undefined ? 0 : 10 ** -slow[0];
};

it("an open loop shows a stall by every call that was due in it", async () => {
  const played = await play(PLAN, await startStalling(), { kind: "open", mostInFlight: 1_000 });
  // 60 of 100 calls are due while the server stalls, 40 of them so early that they wait a third of it.
  expect(slowShare(played)).toBeGreaterThan(0.25);
});

it("a closed loop hides the same stall: only the clients that wait see it", async () => {
  const played = await play(PLAN, await startStalling(), { kind: "closed", clients: 1 });
  expect(slowShare(played)).toBeLessThan(0.05);
  // The one call that did is there.
  expect(Math.max(...played.tally.seconds().map(({ maxMs }) => maxMs))).toBeGreaterThanOrEqual(STALL_MS - 20);
});

it("an open loop does not wait for calls that are under way: those beyond its limit are counted as not sent", async () => {
  const { tally } = await play(PLAN, await startStalling(), { kind: "open", mostInFlight: 5 });
  expect(tally.calls).toBe(CALLS);
  expect(tally.unsent).toBeGreaterThan(20);
  expect(tally.failed).toBe(0);
});

it("an open loop counts from when something was due, also if it could not be begun then", async () => {
  const begunMs = performance.now();
  const lateMs: number[] = [];
  await openLoop(
    [0, 10, 20].map((afterMs) => ({ dueMs: begunMs + afterMs, item: afterMs })),
    async (item, dueMs) => {
      lateMs.push(performance.now() - dueMs);
      // Nothing else is done by this process meanwhile, as when it has too much to do.
      if (item === 0) while (performance.now() < begunMs + 1_000);
    },
  );
  expect(lateMs[0]).toBeLessThan(800);
  expect(lateMs[1]).toBeGreaterThanOrEqual(990);
  expect(lateMs[2]).toBeGreaterThanOrEqual(980);
});

it("calls that nobody answers are failures, and no times", async () => {
  const nobody = urlTarget("http://127.0.0.1:9", PLAN.functions, "{}");
  const { tally } = await play(PLAN, nobody, { kind: "closed", clients: 4 });
  expect(tally.failed).toBe(CALLS);
  expect(tally.rows("", 1_000, {}).some(({ labels }) => labels?.["what"] === "from when it was due")).toBe(
    false,
  );
});
