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
  const code = "import time\n\ndef f(event):\n    time.sleep(0.02)\n    return 'done'\n";
  await writeFile(join(worker.registryDir, "pause", "f.py"), code);
  return worker;
};

/** What came of calls while one of two workers was told to end: their statuses, what the balancer counted, and how long the worker took. */
const endOneOfTwo = async (
  tokenOfWorkers: string,
): Promise<{ statuses: readonly number[]; stats: Stats; tookMs: number }> => {
  const [stays, leaves] = await Promise.all([workerOf(tokenOfWorkers), workerOf(tokenOfWorkers)]);
  const urls = [stays, leaves].map(({ port }) => `http://127.0.0.1:${port}`);
  await using balancer = await startBalancerProcess(urls, { token: TOKEN, policy: "RoundRobin" });
  const at = `http://127.0.0.1:${balancer.port}`;
  const call = async (): Promise<number> => {
    const response = await fetch(`${at}/run/pause`, { method: "POST", body: "{}" });
    await response.text();
    return response.status;
  };
  for (const url of urls)
    await expect
      .poll(async () => (await fetch(`${url}/run/pause`, { method: "POST", body: "{}" })).status, PATIENCE)
      .toBe(200);
  const statuses: number[] = [];
  const stop = new AbortController();
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (!stop.signal.aborted) statuses.push(await call());
  });
  await expect.poll(() => statuses.length, PATIENCE).toBeGreaterThan(50);
  const beganMs = performance.now();
  leaves.signal("SIGTERM");
  await leaves.exited;
  const tookMs = performance.now() - beganMs;
  await sleep(200);
  stop.abort();
  await Promise.all(clients);
  return { statuses, stats: (await (await fetch(`${at}/stats`)).json()) as Stats, tookMs };
};

it("a worker that is told to end refuses no call of a balancer that knows the token, which has none to send again", async () => {
  const { statuses, stats, tookMs } = await endOneOfTwo(TOKEN);
  expect(statuses.filter((status) => status !== 200)).toEqual([]);
  expect([stats.failures["not-started"], stats.retries]).toEqual([0, 0]);
  expect(stats.dispatcher.workers.map(({ health }) => health)).toContain("draining");
  // It waits for the balancer's next question, and not for longer than it has to.
  expect(tookMs).toBeLessThan(6_000);
});

it("one that does not know the balancer cannot wait for it, and has calls sent to the other worker", async () => {
  const { statuses, stats } = await endOneOfTwo("the token of another cluster");
  expect(statuses.filter((status) => status !== 200 && status !== 503)).toEqual([]);
  expect(stats.failures["not-started"]).toBeGreaterThan(0);
});
