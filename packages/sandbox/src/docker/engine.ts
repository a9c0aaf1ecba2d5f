import { constants } from "node:fs";
import { chown, type FileHandle, mkdir, open } from "node:fs/promises";
import path from "node:path";

import {
  CleanupStack,
  deferred,
  type HeldLock,
  type Logger,
  messageOf,
  silentLogger,
  tryLock,
} from "@ol/common";

import type { Enforcement, EngineSandbox, EngineStats, SandboxEngine, SandboxSpec } from "../engine.ts";
import { sandboxError } from "../errors.ts";
import { BrokerClient } from "../sock/broker-client.ts";
import { findPython, PORTER } from "../sock/python.ts";
import { BASE_ENVIRONMENT } from "../environment.ts";
import { Container, type ContainerKit } from "./container.ts";
import { type ContainerFrame, LABELS, networkMode } from "./container-body.ts";
import type { ContainerDaemon, DaemonInfo } from "./daemon.ts";
import { enforcementOf } from "./enforcement.ts";
import { findDaemon } from "./find-daemon.ts";
import { prepareImage } from "./image.ts";
import type { DockerEngineOptions } from "./options.ts";
import { Orphans } from "./orphans.ts";
import { copyRuntime, sealRuntime } from "./runtime-copy.ts";
import { Stock } from "./stock.ts";
import { removeContainers } from "./sweep.ts";
import { type ImageReport, tryImage } from "./trial.ts";

// Linux's, which Node has no name for: a place to begin paths at.
const O_PATH = 0o10000000;
const TRIAL_LIMITS = { memoryMb: 256, swappiness: 0, procs: 32, cpuPercent: 400, logMb: 1, scratchMb: 16 };
const TRIAL = "trial";

/**
 * Sandboxes that are containers of a daemon on this machine: Docker Engine, or Podman's socket that speaks the same. What the daemon
 * does not do, directories and their limits, the porter does (python/ol_host/porter.py). docs/docker.md says how they differ
 * from those of the engine `sock`.
 */
export class DockerEngine implements SandboxEngine {
  readonly name = "docker";
  readonly enforcement: Enforcement;
  /** Settles when the porter ends. The daemon may go and come back: sandboxes are lost then, the engine is not. */
  readonly lost: Promise<string>;
  /** The version of the Python that sandboxes run on: the image's. */
  readonly python: string;
  /** Containers and directories of an earlier, dead engine that were removed at the start. */
  readonly swept: number;
  /** The image that containers are made from. */
  readonly image: string;
  readonly #kit: ContainerKit;
  readonly #stock: Stock;
  readonly #containers: Map<string, Container>;
  readonly #lock: HeldLock;
  #made = 0;
  #created = 0;
  #destroyed = 0;
  #closed: Promise<void> | undefined;

  /**
   * Finds the daemon and the image, and removes what an earlier engine of this worker left. Fails with OL_SANDBOX_DAEMON_UNAVAILABLE,
   * _BAD_IMAGE, _BAD_OPTIONS, _HOST_UNFIT, _DIRECTORY_IN_USE or _BROKER_LOST.
   */
  static async create(options: DockerEngineOptions): Promise<DockerEngine> {
    validateOptions(options);
    const logger = options.logger ?? silentLogger;
    const python = await findPython(options.python);
    const { daemon, info } = await findDaemon(options.daemon ?? {});
    checkRuntime(options.runtime, info);
    await makeDirectories(options);
    await using undo = new CleanupStack();
    const lock = await takeLock(options);
    undo.add(() => lock.release());
    const labels = labelsOf(options);
    let swept = await removeContainers(daemon, labels);
    const containers = new Map<string, Container>();
    const lost = deferred<string>();
    const porter = startPorter(python.path, containers, lost.resolve, logger);
    undo.add(() => porter.close());
    const started = await porter.request("start", startFields(options, info));
    swept += started["swept"] as number;
    const meetingDir = started["meeting"] as string;
    const meeting = await open(meetingDir, O_PATH | constants.O_DIRECTORY);
    undo.add(() => meeting.close());
    const runtimeDir = path.join(options.workDir, "run", "runtime");
    await copyRuntime(runtimeDir);
    const image = await prepareImage(daemon, { image: options.image, baseDir: options.baseDir }, logger);
    const frame = frameOf(options, info, image, runtimeDir, labels);
    const report = await tried(options, daemon, frame, porter, meeting, meetingDir);
    await sealRuntime(runtimeDir);
    const orphans = new Orphans(daemon, logger);
    const namePrefix = `ol-${options.clusterId}-${options.workerName}`;
    const seccomp = options.seccomp ?? true;
    const kit: ContainerKit = {
      daemon,
      porter,
      frame,
      meeting,
      meetingDir,
      orphans,
      namePrefix,
      seccomp,
      logger,
    };
    undo.release();
    return new DockerEngine(
      kit,
      containers,
      lock,
      lost.promise,
      options,
      report,
      swept,
      started["notes"] as string[],
    );
  }

  private constructor(
    kit: ContainerKit,
    containers: Map<string, Container>,
    lock: HeldLock,
    lost: Promise<string>,
    options: DockerEngineOptions,
    report: ImageReport,
    swept: number,
    notes: readonly string[],
  ) {
    this.#kit = kit;
    this.#containers = containers;
    this.#lock = lock;
    this.lost = lost;
    this.python = report.python;
    this.swept = swept;
    this.image = kit.frame.image;
    this.#stock = new Stock(options.prepared ?? 0, (spec) => this.#startInAdvance(spec), kit.logger);
    this.enforcement = enforcementOf(kit.frame.info, report, notes);
    for (const note of this.enforcement.notes) kit.logger.warn(note);
  }

  /** Where the daemon is, and what it is. */
  get daemon(): {
    readonly address: string;
    readonly socketPath: string | undefined;
    readonly product: string;
  } {
    const { address, socketPath } = this.#kit.daemon;
    return { address, socketPath, product: this.#kit.frame.info.product };
  }

  async create(id: string, spec: SandboxSpec, signal?: AbortSignal): Promise<EngineSandbox> {
    if (this.#closed !== undefined) throw sandboxError("OL_SANDBOX_CLOSED", "the engine is closed");
    networkMode(spec.network, this.#kit.frame.network);
    if (spec.zygote !== undefined)
      throw sandboxError("OL_SANDBOX_NO_ZYGOTE", "The engine docker has no zygotes to fork from.");
    signal?.throwIfAborted();
    const container =
      (await this.#fromStock(id, spec)) ?? (await Container.start(this.#kit, id, spec, signal));
    this.#created += 1;
    this.#containers.set(id, container);
    void container.exited.then(() => {
      this.#containers.delete(id);
      this.#destroyed += 1;
    });
    try {
      // The engine may have been closed meanwhile, and knew nothing of it.
      if (this.#closed !== undefined) throw sandboxError("OL_SANDBOX_CLOSED", "the engine is closed");
      signal?.throwIfAborted();
      container.assign(spec, { ...BASE_ENVIRONMENT, ...spec.environment });
    } catch (error) {
      await container.kill();
      throw error;
    }
    // What packages are installed in is like no lambda's sandbox.
    if (spec.scratchOnDisk !== true) this.#stock.expect(spec);
    return {
      id,
      connection: container.connection,
      exited: container.exited,
      kill: () => container.kill(),
      pause: () => container.pause(),
      resume: () => container.resume(),
      memoryBytes: () => container.memoryBytes(),
      keep: (orders) => container.keep(orders),
    };
  }

  stats(): EngineStats {
    return {
      sandboxes: this.#containers.size,
      created: this.#created,
      destroyed: this.#destroyed,
      prepared: this.#stock.count,
      preparedMb: this.#stock.memoryMb,
      zygotes: 0,
    };
  }

  close(): Promise<void> {
    this.#closed ??= this.#end();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** One that waited, if there is one and it is still of use. */
  async #fromStock(id: string, spec: SandboxSpec): Promise<Container | undefined> {
    const container = this.#stock.take(spec);
    if (container === undefined) return undefined;
    try {
      await container.furnish(id, spec);
      if (!container.over) return container;
    } catch (error) {
      // Code on another file system, for example; one that is made for it gets it in another way, or says why not.
      this.#kit.logger.debug("a container that waited cannot be used", { error: messageOf(error) });
    }
    container.connection.destroy();
    await container.kill();
    return undefined;
  }

  #startInAdvance(spec: Pick<SandboxSpec, "network" | "limits">): Promise<Container> {
    this.#made += 1;
    return Container.start(this.#kit, `.${this.#made}`, {
      name: "",
      network: spec.network,
      limits: spec.limits,
    });
  }

  async #end(): Promise<void> {
    const { porter, meeting, orphans } = this.#kit;
    await this.#stock.close();
    const killed = await Promise.allSettled([...this.#containers.values()].map((each) => each.kill()));
    for (const outcome of killed)
      if (outcome.status === "rejected")
        this.#kit.logger.warn("a container could not be removed; the next start of this worker does", {
          error: messageOf(outcome.reason),
        });
    await orphans.close();
    await porter.close();
    await meeting.close();
    await this.#lock.release();
  }
}

/** What is done before the first sandbox is made, and nothing else. Returns how many things were removed. */
export const sweepPlace = async (options: DockerEngineOptions, logger: Logger): Promise<number> => {
  validateOptions(options);
  const python = await findPython(options.python);
  const { daemon, info } = await findDaemon(options.daemon ?? {});
  await makeDirectories(options);
  await using undo = new CleanupStack();
  const lock = await takeLock(options);
  undo.add(() => lock.release());
  const removed = await removeContainers(daemon, labelsOf(options));
  const porter = startPorter(python.path, new Map(), () => undefined, logger);
  undo.add(() => porter.close());
  const started = await porter.request("start", startFields(options, info));
  return removed + (started["swept"] as number);
};

const labelsOf = ({ clusterId, workerName }: DockerEngineOptions): Readonly<Record<string, string>> => ({
  [LABELS.cluster]: clusterId,
  [LABELS.worker]: workerName,
});

const validateOptions = (options: DockerEngineOptions): void => {
  const absolute = (["workDir", "codeDir", "packagesDir", "baseDir"] as const).find((name) => {
    const value = options[name];
    return value !== undefined && !path.isAbsolute(value);
  });
  const { prepared = 0 } = options;
  const wrong =
    (!/^[a-z0-9]{4,16}$/.test(options.clusterId) && "clusterId must be 4 to 16 of a-z and 0-9") ||
    (!/^[a-z0-9-]{1,32}$/.test(options.workerName) && "workerName must be 1 to 32 of a-z, 0-9 and -") ||
    (absolute !== undefined && `${absolute} must be an absolute path`) ||
    ((!Number.isInteger(prepared) || prepared < 0) && "prepared must be a whole number, at least 0");
  if (wrong) throw sandboxError("OL_SANDBOX_BAD_OPTIONS", wrong);
};

const checkRuntime = (runtime: string | undefined, info: DaemonInfo): void => {
  // Podman takes the name or path of any.
  if (runtime === undefined || info.podman || info.runtimes.includes(runtime)) return;
  throw sandboxError(
    "OL_SANDBOX_BAD_OPTIONS",
    `docker.runtime is ${runtime}, which the daemon does not know; it knows ${info.runtimes.join(", ") || "none"}`,
  );
};

const makeDirectories = async ({
  workDir,
  codeDir,
  logDir,
  packagesDir,
  worker,
}: DockerEngineOptions): Promise<void> => {
  try {
    for (const directory of [workDir, codeDir, logDir])
      if (directory !== undefined) await mkdir(directory, { recursive: true });
    if (packagesDir === undefined) return;
    const made = await mkdir(packagesDir, { recursive: true });
    if (made !== undefined && worker !== undefined) await chown(packagesDir, worker.uid, worker.gid);
  } catch (error) {
    throw sandboxError("OL_SANDBOX_HOST_UNFIT", `a directory cannot be made: ${messageOf(error)}`, {
      cause: error,
    });
  }
};

/** Its containers are found by cluster and worker: nobody else may have both names at the same time. */
const takeLock = async ({ clusterId, workerName }: DockerEngineOptions): Promise<HeldLock> => {
  const lock = await tryLock(`ol-${clusterId}-${workerName}-docker`, "runs containers");
  if (lock !== undefined) return lock;
  throw sandboxError(
    "OL_SANDBOX_DIRECTORY_IN_USE",
    `another worker has this cluster's id and the name ${workerName}; stop it, or, if the cluster directory is a copy, make a new cluster instead`,
  );
};

const startPorter = (
  python: string,
  containers: ReadonlyMap<string, Container>,
  lost: (reason: string) => void,
  logger: Logger,
): BrokerClient =>
  new BrokerClient(
    python,
    PORTER,
    {
      exit: () => undefined,
      zygoteExit: () => undefined,
      prepared: () => undefined,
      full: (sandbox) => containers.get(sandbox)?.overfull(),
      ended: (reason, expected) => {
        if (expected) return;
        for (const container of containers.values()) container.lose(reason);
        lost(reason);
      },
    },
    logger,
  );

const startFields = (options: DockerEngineOptions, info: DaemonInfo): Record<string, unknown> => ({
  workDir: options.workDir,
  codeDir: options.codeDir,
  ...(options.logDir !== undefined && { logDir: options.logDir }),
  ...(options.packagesDir !== undefined && { packagesDir: options.packagesDir }),
  ...(options.worker !== undefined && { worker: options.worker }),
  // Its containers have no other ids of this machine than its user's.
  ownIds: info.rootless,
});

const frameOf = (
  { runtime, network, packagesDir, imagePython }: DockerEngineOptions,
  info: DaemonInfo,
  image: string,
  runtimeDir: string,
  labels: Readonly<Record<string, string>>,
): ContainerFrame => ({
  info,
  image,
  python: imagePython ?? "python3",
  runtime,
  network: network ?? "host",
  runtimeDir,
  packagesDir,
  labels,
});

const tried = async (
  { clusterId, workerName, workDir }: DockerEngineOptions,
  daemon: ContainerDaemon,
  frame: ContainerFrame,
  porter: BrokerClient,
  meeting: FileHandle,
  meetingDir: string,
): Promise<ImageReport> => {
  const place = { sandbox: `.${TRIAL}`, name: TRIAL, network: "none", limits: TRIAL_LIMITS };
  const room = await porter.request("place", place);
  try {
    return await tryImage({
      daemon,
      frame,
      meeting,
      meetingDir,
      name: `ol-${clusterId}-${workerName}-${TRIAL}`,
      wish: {
        network: "none",
        limits: TRIAL_LIMITS,
        scratch: room["scratch"] as string,
        code: room["code"] as string,
        uid: (room["uid"] as number | null) ?? process.getuid?.() ?? 0,
      },
    });
  } finally {
    await porter.request("leave", { sandbox: place.sandbox });
  }
};
