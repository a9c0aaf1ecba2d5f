import { join } from "node:path";

import { formatLock, type Lock, parseLock } from "@ol/bundle";
import { isOlError, type Logger, messageOf } from "@ol/common";
import type { LockKey, LockStore } from "@ol/lambda";
import type { LockName, RegistryClient } from "@ol/registry-client";

import { KnownTags } from "./known-tags.ts";
import { LocalLockStore } from "./local-lock-store.ts";

/** Where a RegistryLockStore reads and writes. */
export interface RegistryLockStoreOptions {
  /** Stays its maker's. */
  readonly client: RegistryClient;
  /** As of RegistryCodeSourceOptions. */
  readonly shelfDir: string;
  readonly logger: Logger;
}

/** A lock saves work; nobody waits for one for long. */
const ASK_MS = 10_000;

/**
 * Locks in the registry, so that all clusters that run the same code run it with the same packages; and beside the bundles on
 * this machine, where they are found while the registry is down, and where those stay that a worker may not write to it.
 */
export class RegistryLockStore implements LockStore {
  readonly #client: RegistryClient;
  readonly #near: LocalLockStore;
  readonly #logger: Logger;

  constructor({ client, shelfDir, logger }: RegistryLockStoreOptions) {
    this.#client = client;
    this.#near = nearLocks(shelfDir);
    this.#logger = logger;
  }

  async read(key: LockKey): Promise<Lock | undefined> {
    const near = await this.#near.read(key);
    if (near !== undefined) return near;
    try {
      const text = await this.#client.readLock(nameOf(key), AbortSignal.timeout(ASK_MS));
      if (text === undefined) return undefined;
      return await this.#near.write(key, parseLock(text, "the lock in the registry"));
    } catch (error) {
      this.#logger.warn("a lambda's lock cannot be read from the registry", {
        lambda: key.lambda,
        error: messageOf(error),
      });
      return undefined;
    }
  }

  async write(key: LockKey, lock: Lock): Promise<Lock> {
    try {
      const text = await this.#client.writeLock(nameOf(key), formatLock(lock), AbortSignal.timeout(ASK_MS));
      const first = parseLock(text, "the lock in the registry");
      if (first.requirements === lock.requirements) return await this.#near.write(key, first);
    } catch (error) {
      // Keys that may only read are the rule for workers.
      const level = isOlError(error, "OL_REGISTRY_CLIENT_DENIED") ? "debug" : "warn";
      this.#logger[level]("a lambda's lock cannot be written to the registry; it counts for this cluster", {
        lambda: key.lambda,
        error: messageOf(error),
      });
    }
    return await this.#near.write(key, lock);
  }
}

/** The locks of a cluster whose code comes from a registry. */
export const nearLocks = (shelfDir: string): LocalLockStore => {
  const known = new KnownTags(join(shelfDir, "tags"));
  return new LocalLockStore(shelfDir, (lambda) => known.hasLambda(lambda));
};

const nameOf = ({ lambda, digest, python, machine }: LockKey): LockName => ({
  name: lambda,
  digest,
  python,
  machine,
});
