import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { expect, it } from "vitest";

import { startWorkerProcess, type WorkerProcess } from "../../packages/worker/test/http/worker-process.ts";
import { startBalancerProcess } from "./support/balancer-process.ts";

const TOKEN = "a token of this test only";
const PATIENCE = { timeout: 60_000 };

interface Shown {
  readonly workers: readonly { readonly id: string; readonly slots: number; readonly health: string }[];
}

const idOf = ({ port }: WorkerProcess): string => `127.0.0.1:${port}`;

const hello = async ({ registryDir }: WorkerProcess): Promise<void> => {
  await mkdir(join(registryDir, "hello"), { recursive: true });
  await writeFile(join(registryDir, "hello", "f.py"), "def f(event):\n    return 'hello'\n");
};

it("workers that register themselves get calls, and none any more once they leave, die, or do not know the token", async () => {
  await using balancer = await startBalancerProcess([], { token: TOKEN });
  const at = `http://127.0.0.1:${balancer.port}`;
  const known = async (): Promise<readonly string[]> => {
    const stats = (await (await fetch(`${at}/stats`)).json()) as { dispatcher?: Shown } & Shown;
    return (stats.dispatcher ?? stats).workers.map(({ id }) => id).toSorted();
  };
  const started: WorkerProcess[] = [];
  const start = async (token: string): Promise<WorkerProcess> => {
    const worker = await startWorkerProcess({
      load_balancer: [at],
      token,
      worker_url: "127.0.0.1",
    });
    started.push(worker);
    await hello(worker);
    return worker;
  };
  try {
    const [one, two] = [await start(TOKEN), await start(TOKEN)];
    const stranger = await start("another token altogether");
    await expect.poll(known, PATIENCE).toEqual([idOf(one), idOf(two)].toSorted());
    await expect.poll(() => stranger.log(), PATIENCE).toMatch(/could not register with a balancer/u);
    const reply = await fetch(`${at}/run/hello`, { method: "POST", body: "{}" });
    expect([reply.status, await reply.text()]).toEqual([200, '"hello"']);
    expect(reply.headers.has("x-ol-warm")).toBe(false);
    one.signal("SIGTERM");
    await expect.poll(known, PATIENCE).toEqual([idOf(two)]);
    two.signal("SIGKILL");
    await expect.poll(known, PATIENCE).toEqual([]);
    expect((await fetch(`${at}/run/hello`, { method: "POST", body: "{}" })).status).toBe(503);
  } finally {
    for (const worker of started) await worker.close();
  }
});
