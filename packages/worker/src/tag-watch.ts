import { type BareBundle, LATEST, type RegistryClient, type VersionEntry } from "@ol/registry-client";

import { SharedWork } from "./shared-work.ts";

/** Where a tag points: at a version, or, while there is no tag `latest`, at a bundle that somebody put there by hand. */
export type FoundTag = {
  /** Differs whenever the tag points somewhere else. */
  readonly stamp: string;
} & (
  | { readonly entry: VersionEntry; readonly bare?: undefined }
  | { readonly entry?: undefined; readonly bare: BareBundle }
);

/** Longer than the client's own limit for so small a request, which says better what was wrong. */
const ASK_MS = 18_000;
/** Of so many tags it is remembered what they were: the next question is then whether that changed. */
const MAX_REMEMBERED = 10_000;

interface Remembered {
  readonly found: FoundTag;
  /** What the store calls that state. */
  readonly etag: string;
}

/** Asks the registry where tags point: once for all who ask at the same time, and only for what changed. */
export class TagWatch {
  readonly #client: RegistryClient;
  readonly #work = new SharedWork<FoundTag | undefined>(ASK_MS);
  readonly #remembered = new Map<string, Remembered>();
  #revalidations = 0;
  #failures = 0;
  #failingSinceMs: number | undefined;

  constructor(client: RegistryClient) {
    this.#client = client;
  }

  stats(): { revalidations: number; failures: number; failingSinceMs: number | undefined } {
    return {
      revalidations: this.#revalidations,
      failures: this.#failures,
      failingSinceMs: this.#failingSinceMs,
    };
  }

  /** Undefined if there is no such tag. Fails as the client does. */
  find(name: string, tag: string, signal: AbortSignal): Promise<FoundTag | undefined> {
    return this.#work.run(`${name}@${tag}`, signal, (limit) => this.#counted(name, tag, limit));
  }

  /** Gives up what is under way, and settles when it has ended. */
  stop(): Promise<void> {
    return this.#work.stop(new Error("the worker ends"));
  }

  async #counted(name: string, tag: string, signal: AbortSignal): Promise<FoundTag | undefined> {
    this.#revalidations += 1;
    try {
      const found = await this.#ask(name, tag, signal);
      this.#failingSinceMs = undefined;
      return found;
    } catch (error) {
      this.#failures += 1;
      this.#failingSinceMs ??= Date.now();
      throw error;
    }
  }

  async #ask(name: string, tag: string, signal: AbortSignal): Promise<FoundTag | undefined> {
    const key = `${name}@${tag}`;
    const before = this.#remembered.get(key);
    const state = await this.#client.tag(name, tag, { known: before?.etag, signal });
    if (state === "unchanged" && before !== undefined) return this.#remember(key, before);
    if (typeof state === "object") {
      const { history: _, ...entry } = state.record;
      return this.#remember(key, { etag: state.stamp, found: { stamp: `tag ${state.stamp}`, entry } });
    }
    this.#remembered.delete(key);
    if (tag !== LATEST) return undefined;
    const bare = await this.#client.bare(name, signal);
    return bare === undefined ? undefined : { stamp: `${bare.key} ${bare.stamp}`, bare };
  }

  #remember(key: string, remembered: Remembered): FoundTag {
    this.#remembered.delete(key);
    this.#remembered.set(key, remembered);
    if (this.#remembered.size > MAX_REMEMBERED)
      for (const oldest of this.#remembered.keys()) {
        this.#remembered.delete(oldest);
        break;
      }
    return remembered.found;
  }
}
