import { type CleanupStack, type Logger, type RunningProgram, startParts, TlsWatch } from "@ol/common";
import { createLogger, loadRegistryConfig, type OpenLogger, type RegistryConfig, urlHost } from "@ol/config";
import { isS3Error, ObjectStore, registryError, RegistryServer, type StoreLimits } from "@ol/registry";

const MIB = 1024 * 1024;
const HOUR_MS = 3_600_000;
/** S3's largest object of one request. */
const MOST_BODY_MB = 5120;

type Environment = Readonly<Record<string, string | undefined>>;

/** Opens the store of a configuration. Fails with OL_REGISTRY_IN_USE or OL_REGISTRY_BAD_DIRECTORY. */
export const openStore = (
  { dataDir, limits }: RegistryConfig,
  logger: Logger,
  more: Partial<StoreLimits> = {},
): Promise<ObjectStore> =>
  ObjectStore.open({
    directory: dataDir,
    logger,
    limits: { maxObjectBytes: limits.objectMb * MIB, ...more },
  });

const makeBucket = async (store: ObjectStore, name: string): Promise<void> => {
  if (store.hasBucket(name)) return;
  try {
    await store.createBucket(name);
  } catch (error) {
    if (!isS3Error(error)) throw error;
    throw registryError(
      "OL_REGISTRY_BAD_OPTION",
      `registry_bucket: ${name} cannot be made: ${error.message}`,
      {
        cause: error,
      },
    );
  }
};

const assemble = async (config: RegistryConfig, logger: OpenLogger, undo: CleanupStack): Promise<string> => {
  const store = await openStore(config, logger);
  undo.add(() => store.close());
  await makeBucket(store, config.bucket);
  const server = await RegistryServer.start({
    store,
    keys: config.keys,
    addresses: config.addresses,
    port: config.port,
    region: config.region,
    ...(config.tls !== undefined && { tls: config.tls }),
    limits: {
      maxObjectBytes: Math.min(config.limits.objectMb, MOST_BODY_MB) * MIB,
      idleMs: config.limits.idleSec * 1000,
    },
    pagesFor: config.pages,
    scrubEveryMs: config.scrubHours * HOUR_MS,
    logger,
  });
  undo.add(() => server.close());
  if (config.tls !== undefined) {
    const watch = new TlsWatch({ files: config.tls, use: (pair) => server.useTls(pair), logger });
    undo.add(() => watch[Symbol.asyncDispose]());
  }
  return `${config.tls === undefined ? "http" : "https"}://${urlHost(config.url)}:${server.port}`;
};

/**
 * Starts a registry as its configuration says. If that fails, what had been started is ended. Fails with errors of @ol/config and
 * @ol/registry.
 */
export const startRegistry = async (file: string, environment: Environment): Promise<RunningProgram> => {
  const config = await loadRegistryConfig(file, environment);
  const logger = createLogger({ output: config.logOutput });
  for (const warning of config.warnings) logger.warn(warning);
  return startParts(logger, (undo) => assemble(config, logger, undo));
};
