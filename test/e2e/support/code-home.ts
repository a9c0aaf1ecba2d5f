import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import {
  type Code,
  READER_KEYS,
  soon,
  TestRegistry,
} from "../../../packages/worker/test/support/registry.ts";
import type { WorkerProcess } from "../../../packages/worker/test/http/worker-process.ts";

/** Where a worker of a test file takes its code from. */
export interface CodeHome extends AsyncDisposable {
  /** What its configuration says of that. */
  config(): Promise<Readonly<Record<string, unknown>>>;
  /** Makes these files the lambda's code, one after the other. */
  put(worker: WorkerProcess, name: string, code: Code): Promise<void>;
}

/** The worker's own directory. */
export const localCode: CodeHome = {
  config: () => Promise.resolve({}),
  put: async ({ registryDir }, name, code) => {
    const directory = join(registryDir, name);
    await mkdir(directory, { recursive: true });
    for (const [file, text] of Object.entries(code)) await writeFile(join(directory, file), text);
  },
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

/** A registry that is a process of its own. */
export class RemoteCode implements CodeHome {
  #registry: Promise<TestRegistry> | undefined;

  async config(): Promise<Readonly<Record<string, unknown>>> {
    const { port } = await this.#started();
    const { accessKey, secretKey } = READER_KEYS;
    return {
      registry: `http://127.0.0.1:${port}/registry`,
      registry_access_key: accessKey,
      registry_secret_key: secretKey,
    };
  }

  async put(_worker: WorkerProcess, name: string, code: Code): Promise<void> {
    await (await this.#started()).upload(name, code);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#registry)?.[Symbol.asyncDispose]();
  }

  #started(): Promise<TestRegistry> {
    this.#registry ??= (async () => {
      const registry = await TestRegistry.make();
      await registry.launch();
      // Makes the bucket.
      await registry.admin.probe(soon());
      return registry;
    })();
    return this.#registry;
  }
}
