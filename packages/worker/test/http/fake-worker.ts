import { LambdaManager, type LambdaManagerOptions, lambdaError } from "@ol/lambda";
import { SandboxPool } from "@ol/sandbox";
import { type FakeCode, FakeEngine } from "@ol/sandbox/testing";
import { onTestFinished } from "vitest";

import { Worker, type WorkerOptions } from "../../src/index.ts";
import { agentClient, type TestReply } from "./clients.ts";

/** Lambdas as functions of the fake engine; the rest goes over the defaults. */
export interface Setup extends Partial<
  Pick<LambdaManagerOptions, "slots" | "queueTimeoutMs" | "maxQueuedPerFunction">
> {
  readonly code: Readonly<Record<string, FakeCode>>;
  readonly worker?: Partial<WorkerOptions>;
}

/** A worker in this process over a fake engine, and how to call it. All is closed when the test ends. */
export const fakeWorker = async ({ code, worker: options, ...rest }: Setup) => {
  const engine = new FakeEngine({ code });
  const pool = SandboxPool.create({ engine, memoryMb: 1_000 });
  const sandbox = { memoryMb: 50, swappiness: 0, procs: 10, cpuPercent: 100, logMb: 8, scratchMb: 64 };
  const manager = new LambdaManager({
    pool,
    source: {
      resolve: (name) =>
        code[name] === undefined
          ? Promise.reject(lambdaError("OL_LAMBDA_UNKNOWN", `there is no lambda ${name}`))
          : Promise.resolve({
              name,
              digest: name,
              dir: name,
              stamp: name,
              config: { environment: {}, limits: {} },
            }),
      current: (name) => Promise.resolve(name),
      kept: () => Promise.resolve([]),
      release: () => undefined,
    },
    limits: { ...sandbox, runtimeSec: 5, bodyMb: 6 },
    network: "none",
    slots: 8,
    queueTimeoutMs: 2_000,
    registryCacheMs: 5_000,
    ...rest,
  });
  const worker = await Worker.start({
    name: "w",
    version: "0",
    engine: "fake",
    manager,
    pool,
    addresses: ["127.0.0.1"],
    port: 0,
    ...options,
  });
  const client = agentClient();
  onTestFinished(async () => {
    await client.close();
    worker.destroy();
    await manager.close();
    await pool.close();
    await engine.close();
  });
  const send = (path: string, body = "{}", headers = {}): Promise<TestReply> =>
    client.send(worker.port, { method: "POST", path, body, headers });
  const status = (): Promise<TestReply> => client.send(worker.port, { method: "GET", path: "/status" });
  return { engine, pool, manager, worker, send, status };
};
