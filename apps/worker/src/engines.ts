import type { Logger } from "@ol/common";
import type { WorkerConfig, WorkerIdentity } from "@ol/config";
import {
  DockerEngine,
  type HostReport,
  inspectDocker,
  inspectHost,
  type SandboxEngine,
  SockEngine,
  sweepDocker,
  type SweepReport,
  sweepSock,
} from "@ol/sandbox";

import { codeDirOf } from "./package-parts.ts";
import { type Reach, reachOf } from "./privileges.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** An engine of a worker's. */
export interface WorkerEngine extends SandboxEngine {
  /** The version of Python that sandboxes run on. */
  readonly python: string;
}

/** An engine, and what the worker needs to go on using it as somebody else. */
export interface MadeEngine {
  readonly engine: WorkerEngine;
  readonly reach: Reach;
  /** How long making one of its sandboxes may take, in ms. */
  readonly createMs: number;
}

/** What is different from the configuration. */
export interface EnginePlace {
  readonly workerName?: string;
  /** Whose only sandboxes install packages. */
  readonly forPackages?: boolean;
}

/** One kind of engine, as a worker's configuration names it. */
interface EngineKind {
  make(
    config: WorkerConfig,
    identity: WorkerIdentity | undefined,
    environment: Environment,
    logger: Logger,
    place: EnginePlace,
  ): Promise<MadeEngine>;
  sweep(config: WorkerConfig, environment: Environment): Promise<SweepReport>;
  inspect(config: WorkerConfig | undefined, environment: Environment): Promise<HostReport>;
}

const EVERYWHERE: Reach = { kind: "any" };
const FORK_MS = 10_000;
/** A machine with much to do takes seconds to start a container. */
const CONTAINER_MS = 30_000;

const sock: EngineKind = {
  async make(config, identity, _environment, logger, { workerName, forPackages = false }) {
    const engine = await SockEngine.create({
      ...directoriesOf(config, identity, workerName),
      ...(config.basePath !== undefined && { baseDir: config.basePath }),
      networks: [forPackages ? "host" : config.network],
      scratch: config.scratch,
      downsizePaused: config.downsizePausedMem,
      ...(config.enableSeccomp ? {} : { weaken: ["seccomp"] as const }),
      logger,
    });
    return { engine, reach: EVERYWHERE, createMs: FORK_MS };
  },
  sweep: (config) => sweepSock(namesOf(config)),
  inspect: (config) => inspectHost(config?.basePath === undefined ? {} : { baseDir: config.basePath }),
};

const docker: EngineKind = {
  async make(config, identity, environment, logger, { workerName, forPackages = false }) {
    const engine = await DockerEngine.create({
      ...directoriesOf(config, identity, workerName),
      ...imageOf(config),
      daemon: daemonOf(config, environment),
      ...(config.docker.runtime !== undefined && { runtime: config.docker.runtime }),
      network: config.docker.network,
      prepared: forPackages ? 0 : config.docker.prepared,
      share: forPackages ? "off" : config.docker.share,
      seccomp: config.enableSeccomp,
      logger,
    });
    const { socketPath } = engine.daemon;
    const reach =
      socketPath === undefined || identity === undefined ? EVERYWHERE : await reachOf(socketPath, identity);
    return { engine, reach, createMs: CONTAINER_MS };
  },
  sweep: (config, environment) => sweepDocker({ ...namesOf(config), daemon: daemonOf(config, environment) }),
  inspect: async (config, environment) =>
    config === undefined
      ? { checks: [] }
      : inspectDocker({
          ...imageOf(config),
          daemon: daemonOf(config, environment),
          ...(config.docker.runtime !== undefined && { runtime: config.docker.runtime }),
          share: config.docker.share,
        }),
};

const KINDS: Readonly<Record<WorkerConfig["sandbox"], EngineKind>> = { sock, docker };

/** The engine that a worker's configuration names; without a configuration the default one. */
export const engineOf = (config: WorkerConfig | undefined): EngineKind => KINDS[config?.sandbox ?? "sock"];

const namesOf = (config: WorkerConfig) => ({
  clusterId: config.clusterId,
  workerName: config.workerName,
  workDir: config.workerDir,
  codeDir: codeDirOf(config),
});

const directoriesOf = (config: WorkerConfig, identity: WorkerIdentity | undefined, workerName?: string) => ({
  ...namesOf(config),
  ...(workerName !== undefined && { workerName }),
  logDir: config.lambdaLogDir,
  packagesDir: config.pkgsDir,
  ...(identity !== undefined && { worker: { uid: identity.uid, gid: identity.gid } }),
});

const imageOf = ({ docker: { baseImage, python }, basePath }: WorkerConfig) => ({
  ...(baseImage !== undefined && { image: baseImage }),
  ...(basePath !== undefined && { baseDir: basePath }),
  imagePython: python,
});

const daemonOf = ({ docker: { host, certPath } }: WorkerConfig, environment: Environment) => ({
  ...(host !== undefined && { host }),
  ...(certPath !== undefined && { certPath }),
  environment,
});
