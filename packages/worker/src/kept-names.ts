import type { RegistryClient } from "@ol/registry-client";

import type { KnownTags } from "./known-tags.ts";

/** Listing a bucket takes a request for each thousand objects, from each worker. */
const FRESH_MS = 60_000;

/** Which lambdas are to be ready before they are called. */
export class KeptNames {
  readonly #client: RegistryClient;
  readonly #known: KnownTags;
  #names: readonly string[] = [];
  #askedMs = Number.NEGATIVE_INFINITY;

  constructor(client: RegistryClient, known: KnownTags) {
    this.#client = client;
    this.#known = known;
  }

  /** What the registry says, at most a minute old; while it does not answer, what is known of it on this machine. */
  async names(signal: AbortSignal): Promise<readonly string[]> {
    if (performance.now() - this.#askedMs < FRESH_MS) return this.#names;
    try {
      this.#names = [...(await this.#client.minInstances(signal)).keys()];
      this.#askedMs = performance.now();
      return this.#names;
    } catch (error) {
      const known = (await this.#known.all()).filter(
        ({ tag, minInstances = 0 }) => tag === "latest" && minInstances > 0,
      );
      if (known.length === 0) throw error;
      return known.map(({ name }) => name);
    }
  }
}
