import { afterAll, beforeAll, describe } from "vitest";

import {
  agentClient,
  curlClient,
  rawClient,
  undiciClient,
} from "../../../packages/worker/test/http/clients.ts";
import { PYTHON_FILES } from "../../../packages/worker/test/http/lambdas.ts";
import {
  casesThrough,
  concurrencyCases,
  legalCases,
  rawCases,
} from "../../../packages/worker/test/http/suite.ts";
import { startWorkerProcess, type WorkerProcess } from "../../../packages/worker/test/http/worker-process.ts";

import { type CodeHome, localCode } from "./code-home.ts";

const CLIENTS = { raw: rawClient, agent: agentClient, undici: undiciClient, curl: curlClient };

/**
 * What a worker answers over HTTP. The same cases run against a fake engine in packages/worker; here the lambdas are Python in real
 * sandboxes. `config` is asked for before the worker is started; the code is put into `home`.
 */
export const describeWorkerHttp = (
  engine: string,
  clients: readonly (keyof typeof CLIENTS)[],
  config: () => Promise<Readonly<Record<string, unknown>>> = () => Promise.resolve({}),
  home: CodeHome = localCode,
): void => {
  describe(`a worker process with the engine ${engine}`, () => {
    let worker: WorkerProcess;

    beforeAll(async () => {
      worker = await startWorkerProcess({ ...(await home.config()), ...(await config()) });
      for (const [name, code] of Object.entries(PYTHON_FILES)) await home.put(worker, name, code);
    });
    afterAll(() => worker.close());

    const underTest = {
      port: () => worker.port,
      secrets: () => [worker.directory, process.cwd(), "node_modules"],
    };
    for (const name of clients) casesThrough(CLIENTS[name](), underTest);
    rawCases(underTest);
    legalCases(underTest);
    concurrencyCases(underTest);
  });
};
