import {
  createLogger,
  identityToBecome,
  loadWorkerConfig,
  type OpenLogger,
  urlHost,
  type WorkerConfig,
  type WorkerIdentity,
} from "@ol/config";
import { CleanupStack, type Logger } from "@ol/common";
import { LambdaManager, type LambdaManagerOptions, TraceWriter } from "@ol/lambda";
import { EVICTION_POLICIES, SandboxPool } from "@ol/sandbox";
import { RegistryCodeSource, Registration, Worker } from "@ol/worker";
import { existsSync } from "node:fs";

import { makeBundlesPlace, makeCodeSource, makeLocks, openRegistry } from "./code-parts.ts";
import { engineOf } from "./engines.ts";
import { makePackageStore } from "./package-parts.ts";
import { findPackageTools } from "./package-tools.ts";
import { giveUpRoot, type Reach } from "./privileges.ts";
import { installStartupPackages } from "./startup-packages.ts";
import { VERSION } from "./version.ts";
import { makeStatePlace, makeZygotes } from "./zygotes.ts";

/** A worker with all its parts. */
export interface RunningWorker {
  readonly config: WorkerConfig;
  readonly logger: Logger;
  readonly url: string;
  /** Settles with the reason when the engine is lost; then nothing can run any more. */
  readonly lost: Promise<string>;
  /** See Worker.listeningFds. */
  listeningFds(): readonly number[];
  /** Lets calls finish, then ends everything. Idempotent. */
  close(): Promise<void>;
}

/** Gives up root, if the worker is to become somebody and that one can still use the engine. */
const becomeUser = async (
  config: WorkerConfig,
  identity: WorkerIdentity,
  reach: Reach,
  isLocal: boolean,
  logger: Logger,
): Promise<void> => {
  if (reach.kind === "none") {
    logger.warn(
      `the worker keeps root, since ${reach.why}; put that user into the socket's group, or accept that whoever may use the socket has root's rights in any case`,
    );
    return;
  }
  await giveUpRoot(
    identity,
    isLocal ? [config.registryDir] : [],
    reach.kind === "group" ? reach.gid : undefined,
  );
  logger.info("gave up root; the engine's helper keeps it", { user: identity.name });
};

const makeManager = (
  config: WorkerConfig,
  parts: Pick<LambdaManagerOptions, "pool" | "source" | "packages" | "zygotes" | "trace">,
  logger: Logger,
): LambdaManager =>
  new LambdaManager({
    ...parts,
    installWaitMs: config.installWaitMs,
    limits: config.limits,
    network: config.network,
    slots: config.workerSlots,
    queueTimeoutMs: config.queueTimeoutMs,
    registryCacheMs: config.registryCacheMs,
    pauseLingerMs: config.pauseLingerMs,
    logger,
  });

/** Where load balancers find the worker. */
const advertisedUrl = ({ registration, workerUrl }: WorkerConfig, port: number): string =>
  registration?.advertiseUrl ?? `http://${urlHost(workerUrl)}:${port}`;

/** Registers the worker with its load balancers, if there are some; by its host and port, the name that lists of workers give it. */
const register = (config: WorkerConfig, port: number, logger: Logger): Registration | undefined => {
  if (config.registration === undefined) return undefined;
  const url = advertisedUrl(config, port);
  const { balancers, token } = config.registration;
  return new Registration({
    balancers,
    token,
    id: new URL(url).host,
    url,
    slots: config.workerSlots,
    logger,
  });
};

const assemble = async (
  config: WorkerConfig,
  logger: OpenLogger,
  undo: CleanupStack,
  inheritedFds: readonly number[],
): Promise<Omit<RunningWorker, "close">> => {
  let front: Worker | undefined;
  // It listens to the last, so that callers are told to go elsewhere while everything behind it ends.
  undo.add(() => front?.close());
  const identity = await identityToBecome(config);
  // As whoever starts it has them: they may be where only root can read.
  const tools = await findPackageTools(process.env, config, logger);
  undo.add(() => tools.uv?.close());
  const registry = await openRegistry(config, logger);
  undo.add(() => registry?.client[Symbol.asyncDispose]());
  const { engine, reach, createMs } = await engineOf(config).make(config, identity, process.env, logger, {});
  undo.add(() => engine.close());
  await makeStatePlace(config, identity);
  await makeBundlesPlace(config, identity);
  if (identity !== undefined) {
    // Before anything comes from outside: no request and no lambda's code is ever read with root's rights.
    const isLocal = registry === undefined && existsSync(config.registryDir);
    await becomeUser(config, identity, reach, isLocal, logger);
  }
  const source = await makeCodeSource(config, registry, logger);
  undo.add(() => source[Symbol.asyncDispose]());
  const pool = SandboxPool.create({
    engine,
    memoryMb: config.memPoolMb,
    createMs,
    downsizePaused: config.downsizePausedMem,
    evictor: EVICTION_POLICIES[config.eviction](),
    logger,
  });
  undo.add(() => pool.close());
  const locks = makeLocks(config, registry, logger);
  const packages = makePackageStore(config, engine, pool, tools, locks, logger);
  undo.add(() => packages[Symbol.asyncDispose]());
  const zygotes = await makeZygotes(config, pool, logger);
  undo.add(() => zygotes.close());
  const trace =
    config.traceFile === undefined ? undefined : new TraceWriter({ path: config.traceFile, logger });
  undo.add(() => trace?.close());
  const manager = makeManager(
    config,
    {
      pool,
      source,
      packages,
      zygotes: zygotes.keeper,
      ...(trace !== undefined && { trace: (record) => trace.write(record) }),
    },
    logger,
  );
  undo.add(() => manager.close());
  front = await Worker.start({
    name: config.workerName,
    version: VERSION,
    engine: engine.name,
    manager,
    pool,
    addresses: config.addresses,
    port: config.workerPort,
    inheritedFds,
    trustedProxies: config.trustedProxies,
    ...(config.token !== undefined && { token: config.token }),
    ...(source instanceof RegistryCodeSource && { registryStats: () => source.stats() }),
    ...(config.registration !== undefined && {
      membership: {
        token: config.registration.token,
        id: () => new URL(advertisedUrl(config, front?.port ?? 0)).host,
      },
    }),
    logger,
  });
  const worker = front;
  undo.add(() => worker.drain());
  const registration = register(config, worker.port, logger);
  undo.add(() => registration?.leave());
  // Before it drains, so that no further calls come. Without an engine it could not run them.
  let isLost = false;
  void engine.lost.then(() => (isLost = true));
  undo.add(() => (isLost ? undefined : worker.leave()));
  // What is to be ready before it is called; nobody waits for that.
  void manager.keepWarm();
  const stop = new AbortController();
  undo.add(() => stop.abort());
  void installStartupPackages(config.startupPkgs, packages, stop.signal, logger);
  return {
    config,
    logger,
    url: `http://${urlHost(config.workerUrl)}:${worker.port}`,
    lost: engine.lost,
    listeningFds: () => worker.listeningFds(),
  };
};

/**
 * Starts a worker as its configuration says, on `inheritedFds` as far as they fit. If that fails, what had been started is ended. Fails with errors of
 * @ol/config, @ol/sandbox and @ol/worker.
 */
export const startWorker = async (
  file: string,
  environment: Readonly<Record<string, string | undefined>>,
  inheritedFds: readonly number[] = [],
): Promise<RunningWorker> => {
  const config = await loadWorkerConfig(file, environment);
  const logger = createLogger({ output: config.logOutput, fields: { worker: config.workerName } });
  const undo = new CleanupStack();
  undo.add(() => logger.close());
  for (const warning of config.warnings) logger.warn(warning);
  try {
    const parts = await assemble(config, logger, undo, inheritedFds);
    let closing: Promise<void> | undefined;
    return { ...parts, close: () => (closing ??= undo.run()) };
  } catch (error) {
    await undo.run();
    throw error;
  }
};
