import { afterAll, beforeAll, describe } from "vitest";

import { agentClient, curlClient, rawClient, undiciClient } from "../../packages/worker/test/http/clients.ts";
import { writeLambdas } from "../../packages/worker/test/http/lambdas.ts";
import {
  casesThrough,
  concurrencyCases,
  legalCases,
  rawCases,
} from "../../packages/worker/test/http/suite.ts";
import { startWorkerProcess, type WorkerProcess } from "../../packages/worker/test/http/worker-process.ts";

// The same cases run against a fake engine in packages/worker; here the lambdas are Python in real sandboxes.
describe("a worker process with real sandboxes", () => {
  let worker: WorkerProcess;

  beforeAll(async () => {
    worker = await startWorkerProcess();
    await writeLambdas(worker.registryDir);
  });
  afterAll(() => worker.close());

  const underTest = {
    port: () => worker.port,
    secrets: () => [worker.directory, process.cwd(), "node_modules"],
  };
  for (const client of [rawClient(), agentClient(), undiciClient(), curlClient()])
    casesThrough(client, underTest);
  rawCases(underTest);
  legalCases(underTest);
  concurrencyCases(underTest);
});
