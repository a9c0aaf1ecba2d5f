import {
  BalancerServer,
  Dispatcher,
  DnsMembership,
  FileMembership,
  LeaseMembership,
  type Membership,
} from "@ol/balancer";
import {
  type CleanupStack,
  type Logger,
  ProxyProof,
  type RunningProgram,
  startParts,
  TlsWatch,
  within,
} from "@ol/common";
import { type BalancerConfig, createLogger, loadBalancerConfig, type OpenLogger, urlHost } from "@ol/config";

import { VERSION } from "./version.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** A name server that does not answer must not keep it from starting. */
const JOIN_MS = 5_000;

/** Where further workers come from, as far as the configuration says. */
const membershipsOf = (
  { workersFile, workersDns }: BalancerConfig,
  registrations: LeaseMembership | undefined,
  logger: Logger,
): readonly Membership[] => [
  ...(workersFile === undefined ? [] : [new FileMembership({ file: workersFile, logger })]),
  ...(workersDns === undefined ? [] : [new DnsMembership({ url: workersDns, logger })]),
  ...(registrations === undefined ? [] : [registrations]),
];

const makeDispatcher = (
  config: BalancerConfig,
  memberships: readonly Membership[],
  proof: ProxyProof | undefined,
  logger: Logger,
): Dispatcher =>
  Dispatcher.create({
    memberships,
    ...(proof !== undefined && { proof }),
    policy: config.policy,
    workers: config.workers,
    loadLow: config.loadLow,
    loadHigh: config.loadHigh,
    ...(config.maxConn !== undefined && { maxConn: config.maxConn }),
    ...(config.maxConnPerFunction !== undefined && { maxConnPerFunction: config.maxConnPerFunction }),
    queuePerSlot: config.queuePerSlot,
    queueTimeoutMs: config.queueTimeoutMs,
    retryIdempotent: config.retryIdempotent,
    logger,
  });

const assemble = async (config: BalancerConfig, logger: OpenLogger, undo: CleanupStack): Promise<string> => {
  const registrar =
    config.token === undefined ? undefined : new LeaseMembership({ token: config.token, logger });
  const proof = config.token === undefined ? undefined : new ProxyProof(config.token);
  const dispatcher = makeDispatcher(config, membershipsOf(config, registrar, logger), proof, logger);
  undo.add(() => dispatcher.close());
  // Else the first calls would be told that there is no worker.
  await within(dispatcher.joined, JOIN_MS);
  const server = await BalancerServer.start({
    dispatcher,
    version: VERSION,
    addresses: config.addresses,
    port: config.port,
    ...(config.tls !== undefined && { tls: config.tls }),
    limits: config.limits,
    trustedProxies: config.trustedProxies,
    ...(proof !== undefined && { proof }),
    ...(registrar !== undefined && { registrar }),
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
 * Starts a load balancer as its configuration says. If that fails, what had been started is ended. Fails with errors of @ol/config
 * and @ol/balancer.
 */
export const startBalancer = async (file: string, environment: Environment): Promise<RunningProgram> => {
  const config = await loadBalancerConfig(file, environment);
  const logger = createLogger({ output: config.logOutput });
  for (const warning of config.warnings) logger.warn(warning);
  return startParts(logger, (undo) => assemble(config, logger, undo));
};
