import type { KeyObject } from "node:crypto";
import { lchown, mkdir, readFile } from "node:fs/promises";

import { type Logger, messageOf, silentLogger, systemReason } from "@ol/common";
import { configError, type WorkerConfig, type WorkerIdentity } from "@ol/config";
import type { LockStore } from "@ol/lambda";
import type { HostCheck } from "@ol/sandbox";
import {
  LocalCodeSource,
  LocalLockStore,
  nearLocks,
  type PackedLimits,
  parseTrustedKeys,
  RegistryClient,
  RegistryCodeSource,
  RegistryLockStore,
} from "@ol/worker";

import { codeDirOf } from "./package-parts.ts";

/** A store to get code from. */
export interface OpenRegistry {
  readonly client: RegistryClient;
  readonly trustedKeys: readonly KeyObject[];
}

type Code = Pick<WorkerConfig, "registryStore" | "trustedKeys">;

const CHECK_MS = 10_000;

/**
 * Reads what a store has to be asked with; undefined if the code is in a directory. Asks nobody. As whoever starts the worker
 * can read files, before root is given up. Fails with OL_CONFIG_UNREADABLE, and as RegistryClient.create and parseTrustedKeys.
 */
export const openRegistry = async (
  { registryStore, trustedKeys }: Code,
  logger: Logger,
): Promise<OpenRegistry | undefined> => {
  if (registryStore === undefined) return undefined;
  const keys = (await Promise.all(trustedKeys.map((file) => keysIn(file)))).flat();
  const { endpoint, ...options } = registryStore;
  return {
    client: RegistryClient.create({ ...options, endpoint: new URL(endpoint), logger }),
    trustedKeys: keys,
  };
};

const keysIn = async (file: string): Promise<readonly KeyObject[]> => {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw configError(
      "OL_CONFIG_UNREADABLE",
      `the trusted key ${file} cannot be read: ${systemReason(error)}`,
      {
        cause: error,
      },
    );
  }
  return parseTrustedKeys(text, file);
};

/** Makes the place for bundles from a store, for `identity` if this process is about to become somebody else. */
export const makeBundlesPlace = async (
  { registryStore, bundlesDir }: WorkerConfig,
  identity: WorkerIdentity | undefined,
): Promise<void> => {
  if (registryStore === undefined || identity === undefined) return;
  try {
    await mkdir(bundlesDir);
  } catch (error) {
    // Whose it is then was decided when it was made.
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return;
    throw error;
  }
  await lchown(bundlesDir, identity.uid, identity.gid);
};

/** Where the code comes from. After the engine, which holds the lock of the directory: another worker's code must not be swept. */
export const makeCodeSource = (
  config: WorkerConfig,
  registry: OpenRegistry | undefined,
  logger: Logger,
): Promise<LocalCodeSource | RegistryCodeSource> => {
  const common = { codeDir: codeDirOf(config), limits: limitsOf(config), logger };
  if (registry === undefined) return LocalCodeSource.create({ ...common, registryDir: config.registryDir });
  return RegistryCodeSource.create({
    ...common,
    client: registry.client,
    shelfDir: config.bundlesDir,
    workerName: config.workerName,
    signatures: { mode: config.signatures, trustedKeys: registry.trustedKeys },
  });
};

const limitsOf = ({ bundleLimits }: WorkerConfig): Partial<PackedLimits> => ({
  maxPackedBytes: bundleLimits.packedBytes,
  maxBytes: bundleLimits.unpackedBytes,
  maxFileBytes: bundleLimits.unpackedBytes,
  maxEntries: bundleLimits.files,
});

/** Where it is kept which packages the code was resolved to. */
export const makeLocks = (
  { registryDir, bundlesDir }: WorkerConfig,
  registry: OpenRegistry | undefined,
  logger: Logger,
): LockStore =>
  registry === undefined
    ? new LocalLockStore(registryDir)
    : new RegistryLockStore({ client: registry.client, shelfDir: bundlesDir, logger });

/** The locks that are on this machine. */
export const localLocks = ({ registryStore, registryDir, bundlesDir }: WorkerConfig): LocalLockStore =>
  registryStore === undefined ? new LocalLockStore(registryDir) : nearLocks(bundlesDir);

/** Whether the store answers, takes the keys and has the bucket; undefined if there is none to ask. */
export const checkRegistry = async (config: Code | undefined): Promise<HostCheck | undefined> => {
  const store = config?.registryStore;
  if (config === undefined || store === undefined) return undefined;
  const name = "registry";
  try {
    const registry = await openRegistry(config, silentLogger);
    await using client = registry?.client;
    await client?.check(AbortSignal.timeout(CHECK_MS));
    return { name, ok: true, detail: `${store.endpoint} has bucket ${store.bucket} and takes the keys` };
  } catch (error) {
    return { name, ok: false, detail: messageOf(error) };
  }
};
