import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { checkCode, packBundle } from "@ol/bundle";
import { LATEST, type RegistryClient } from "@ol/registry-client";

import type { ClusterPaths } from "../cluster/paths.ts";
import { withAdvice } from "./access.ts";
import type { CodeRegistry } from "./code-registry.ts";

/** The code registry that is an S3 store. */
export class RemoteRegistry implements CodeRegistry {
  readonly place: string;
  readonly #client: RegistryClient;
  readonly #paths: ClusterPaths;
  readonly #signal: AbortSignal;

  constructor(client: RegistryClient, paths: ClusterPaths, signal: AbortSignal) {
    this.place = `the registry at ${client.address}`;
    this.#client = client;
    this.#paths = paths;
    this.#signal = signal;
  }

  async has(name: string): Promise<boolean> {
    const look = async (): Promise<boolean> =>
      (await this.#client.tag(name, LATEST, { signal: this.#signal })) !== undefined ||
      (await this.#client.bare(name, this.#signal)) !== undefined;
    return withAdvice(this.#paths, this.#client, look());
  }

  stage(): Promise<string> {
    return mkdtemp(join(tmpdir(), "ol-stage-"));
  }

  async put(name: string, directory: string): Promise<void> {
    const { config } = await checkCode(directory);
    const file = `${directory}.tar.gz`;
    const { digest, packedBytes } = await packBundle(directory, file, { signal: this.#signal });
    const request = { name, file, digest, size: packedBytes, minInstances: config.minInstances ?? 0 };
    await withAdvice(this.#paths, this.#client, this.#client.upload(request, { signal: this.#signal }));
  }

  async remove(name: string): Promise<void> {
    await withAdvice(this.#paths, this.#client, this.#client.remove({ name }, this.#signal));
  }

  discard(stage: string): Promise<void> {
    return rm(stage, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
  }
}
