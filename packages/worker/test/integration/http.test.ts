import { LambdaManager, type CodeSource, type LambdaCode, lambdaError } from "@ol/lambda";
import { SandboxPool } from "@ol/sandbox";
import { FakeEngine } from "@ol/sandbox/testing";
import { afterAll, beforeAll, describe } from "vitest";

import { Worker } from "../../src/index.ts";
import { agentClient, rawClient, undiciClient } from "../http/clients.ts";
import { LAMBDAS } from "../http/lambdas.ts";
import { casesThrough, concurrencyCases, legalCases, rawCases } from "../http/suite.ts";

/** The lambdas of the cases, without a disk. */
const source: CodeSource = {
  resolve: (name): Promise<LambdaCode> => {
    const lambda = LAMBDAS[name];
    if (lambda === undefined)
      return Promise.reject(lambdaError("OL_LAMBDA_UNKNOWN", `there is no lambda ${name} in the registry`));
    const config = { environment: {}, limits: {}, ...lambda.config };
    return Promise.resolve({ name, digest: name, dir: `case/${name}`, stamp: name, config });
  },
  current: (name) => Promise.resolve(name),
  kept: () => Promise.resolve([]),
  release: () => undefined,
};

const code = Object.fromEntries(Object.entries(LAMBDAS).map(([name, { fake }]) => [`case/${name}`, fake]));

describe("the worker's HTTP over a fake engine", () => {
  const engine = new FakeEngine({ code });
  const pool = SandboxPool.create({ engine, memoryMb: 10_000 });
  const manager = new LambdaManager({
    pool,
    source,
    limits: {
      memoryMb: 50,
      swappiness: 0,
      procs: 10,
      cpuPercent: 100,
      logMb: 8,
      scratchMb: 64,
      runtimeSec: 10,
      bodyMb: 6,
    },
    network: "none",
    slots: 8,
    queueTimeoutMs: 10_000,
    registryCacheMs: 5_000,
  });
  let worker: Worker;

  beforeAll(async () => {
    worker = await Worker.start({
      name: "worker-0",
      version: "0.0.0",
      engine: "fake",
      manager,
      pool,
      addresses: ["127.0.0.1", "::1"],
      port: 0,
    });
  });

  afterAll(async () => {
    await worker.close();
    await manager.close();
    await pool.close();
    await engine.close();
  });

  const underTest = { port: () => worker.port, secrets: () => [process.cwd(), "/tmp/", "node_modules"] };
  for (const client of [rawClient(), agentClient(), undiciClient()]) casesThrough(client, underTest);
  rawCases(underTest);
  legalCases(underTest);
  concurrencyCases(underTest);
});
