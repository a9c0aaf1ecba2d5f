import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { expect, it, onTestFinished } from "vitest";

import { startWorkerProcess, type WorkerProcess } from "../../packages/worker/test/http/worker-process.ts";
import { startBalancerProcess } from "./support/balancer-process.ts";

const TOKEN = "a token of this test only";
const CLIENTS = 6;
const PATIENCE = { timeout: 60_000 };

interface Stats {
  readonly failures: Readonly<Record<string, number>>;
  readonly retries: number;
  readonly dispatcher: { readonly workers: readonly { readonly health: string }[] };
}

const workerOf = async (token: string): Promise<WorkerProcess> => {
  const worker = await startWorkerProcess({ token, worker_slots: 4 });
  onTestFinished(() => worker.close());
  await mkdir(join(worker.registryDir, "pause"));
  const code =
    "import time\n\ndef f(event):\n    time.sleep(event.get('seconds', 0.02))\n    return 'done'\n";
  await writeFile(join(worker.registryDir, "pause", "f.py"), code);
  return worker;
};

const ask = (url: string, event: object = {}): Promise<Response> =>
  fetch(`${url}/run/pause`, { method: "POST", body: JSON.stringify(event) });

const statusOf = async (asked: Promise<Response>): Promise<number> => {
  const response = await asked;
  await response.text();
  return response.status;
};

const statsOf = async (url: string): Promise<Stats> => (await (await fetch(`${url}/stats`)).json()) as Stats;

const busyAt = async (url: string): Promise<number> =>
  ((await (await fetch(`${url}/state`)).json()) as { load: { busy: number } }).load.busy;

/** Two workers, each of which has answered once, behind a load balancer that gives them calls in turn. */
const twoBehindOne = async (tokenOfWorkers: string) => {
  const [stays, leaves] = await Promise.all([workerOf(tokenOfWorkers), workerOf(tokenOfWorkers)]);
  const urls = [stays, leaves].map(({ port }) => `http://127.0.0.1:${port}`);
  const balancer = await startBalancerProcess(urls, { token: TOKEN, policy: "RoundRobin" });
  onTestFinished(() => balancer[Symbol.asyncDispose]());
  for (const url of urls) await expect.poll(() => statusOf(ask(url)), PATIENCE).toBe(200);
  const at = `http://127.0.0.1:${balancer.port}`;
  return {
    leaves: { process: leaves, at: `http://127.0.0.1:${leaves.port}` },
    balancer: { process: balancer, at },
  };
};

it("a worker that is told to end refuses no call of a balancer that knows the token, which has none to send again", async () => {
  const { leaves, balancer } = await twoBehindOne(TOKEN);
  const statuses: number[] = [];
  const stop = new AbortController();
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (!stop.signal.aborted) statuses.push(await statusOf(ask(balancer.at)));
  });
  await expect.poll(() => statuses.length, PATIENCE).toBeGreaterThan(50);
  const beganMs = performance.now();
  leaves.process.signal("SIGTERM");
  await leaves.process.exited;
  const tookMs = performance.now() - beganMs;
  await sleep(200);
  stop.abort();
  await Promise.all(clients);
  const stats = await statsOf(balancer.at);
  expect(statuses.filter((status) => status !== 200)).toEqual([]);
  expect([stats.failures["not-started"], stats.retries]).toEqual([0, 0]);
  expect(stats.dispatcher.workers.map(({ health }) => health)).toContain("draining");
  // It waits for the balancer's next question, and not for longer than it has to.
  expect(tookMs).toBeLessThan(6_000);
});

// The balancer's own question may be answered before the calls, and then it knows.
it(
  "one that does not know the balancer cannot wait for it, and has calls sent to the other worker",
  { retry: 2 },
  async () => {
    const { leaves, balancer } = await twoBehindOne("the token of another cluster");
    const last = statusOf(ask(leaves.at, { seconds: 5 }));
    await expect.poll(() => busyAt(leaves.at), PATIENCE).toBe(1);
    // Held still, so that it asks nothing between the worker's end and the calls.
    balancer.process.signal("SIGSTOP");
    leaves.process.signal("SIGTERM");
    await expect.poll(() => statusOf(fetch(`${leaves.at}/status`)), PATIENCE).toBe(503);
    const calls = Array.from({ length: CLIENTS }, () => statusOf(ask(balancer.at)));
    await sleep(100);
    balancer.process.signal("SIGCONT");
    expect(await Promise.all([...calls, last])).toEqual([...calls, last].map(() => 200));
    const stats = await statsOf(balancer.at);
    expect([stats.failures["not-started"], stats.retries].every((count) => (count ?? 0) > 0)).toBe(true);
    await leaves.process.exited;
  },
);
