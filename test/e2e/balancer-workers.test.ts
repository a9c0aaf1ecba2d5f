import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, it, onTestFinished } from "vitest";

import { startWorkerProcess, type WorkerProcess } from "../../packages/worker/test/http/worker-process.ts";
import { startBalancerProcess } from "./support/balancer-process.ts";
import { Ledger, LEDGER_PYTHON } from "./support/ledger.ts";

const CLIENTS = 8;
const TOKEN = "a token of this test only";

/** What came of one call. */
interface Outcome {
  /** 0: the connection ended without a whole reply. */
  readonly status: number;
  readonly id: string;
  readonly text: string;
}

const call = (agent: Agent, port: number): Promise<Outcome> =>
  new Promise((resolve) => {
    const options = { agent, host: "127.0.0.1", port, method: "POST", path: "/run/note" };
    const sent = request(options, (response) => {
      const id = String(response.headers["x-ol-invocation-id"]);
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      response.once("error", () => resolve({ status: 0, id, text }));
      response.once("end", () => resolve({ status: response.statusCode ?? 0, id, text }));
    });
    sent.once("error", (error) => resolve({ status: 0, id: "", text: String(error) }));
    sent.end("{}");
  });

const waited = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

it("workers that are killed, frozen, drained and added under load run each call at most once, and every one is answered", async () => {
  await using ledger = await Ledger.open();
  const agent = new Agent({ keepAlive: true });
  onTestFinished(() => agent.destroy());
  const directory = await mkdtemp(join(tmpdir(), "ol-balancer-"));
  onTestFinished(() => rm(directory, { recursive: true }));

  const startWorker = async (): Promise<WorkerProcess> => {
    const worker = await startWorkerProcess({ token: TOKEN, worker_slots: 4 });
    onTestFinished(() => worker.close());
    await mkdir(join(worker.registryDir, "note"));
    const code = `${LEDGER_PYTHON}\nimport time\n\ndef f(event, context):\n    note(context)\n    time.sleep(0.02)\n    return context.invocation_id\n`;
    await writeFile(join(worker.registryDir, "note", "f.py"), code);
    await writeFile(
      join(worker.registryDir, "note", "ol.yaml"),
      `environment:\n  LEDGER: "${ledger.port}"\n`,
    );
    return worker;
  };
  const [killed, frozen, drained, added] = await Promise.all([1, 2, 3, 4].map(() => startWorker()));
  const file = join(directory, "workers.json");
  const list = (...workers: (WorkerProcess | undefined)[]): Promise<void> =>
    writeFile(file, JSON.stringify(workers.map((worker) => `http://127.0.0.1:${worker?.port}`)));
  await list(killed, frozen, drained);
  await using balancer = await startBalancerProcess([], {
    workers_file: file,
    token: TOKEN,
    policy: "RoundRobin",
    queue_timeout_ms: 30_000,
  });
  await expect.poll(async () => (await call(agent, balancer.port)).status, { timeout: 60_000 }).toBe(200);

  const outcomes: Outcome[] = [];
  const stop = new AbortController();
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (!stop.signal.aborted) outcomes.push(await call(agent, balancer.port));
  });
  await waited(1_000);
  killed?.signal("SIGKILL");
  await waited(1_000);
  frozen?.signal("SIGSTOP");
  await waited(3_000);
  frozen?.signal("SIGCONT");
  await waited(1_000);
  drained?.signal("SIGTERM");
  await waited(500);
  await list(frozen, added);
  await waited(2_000);
  const before = outcomes.length;
  await waited(2_000);
  stop.abort();
  await Promise.all(clients);

  const replied = outcomes.filter(({ status }) => status === 200);
  expect(replied.length).toBeGreaterThan(100);
  // Each got the reply of its own call.
  expect(replied.filter(({ id, text }) => text !== JSON.stringify(id))).toEqual([]);
  const runs = (outcome: Outcome): number => ledger.runsOf(outcome.id);
  expect(outcomes.filter((outcome) => runs(outcome) > 1)).toEqual([]);
  expect(replied.filter((outcome) => runs(outcome) !== 1)).toEqual([]);
  // What was refused was not run; what a worker took along is the only thing that may fail.
  expect(outcomes.filter((outcome) => outcome.status === 503 && runs(outcome) > 0)).toEqual([]);
  const others = outcomes.filter(({ status }) => status !== 200 && status !== 503);
  expect(others.filter(({ status }) => status !== 502)).toEqual([]);
  expect(others.length).toBeLessThanOrEqual(2 * CLIENTS);
  // And in the end all is well again.
  expect(outcomes.slice(before).filter(({ status }) => status !== 200)).toEqual([]);
});
