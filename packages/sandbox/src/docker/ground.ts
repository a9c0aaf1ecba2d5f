import { constants } from "node:fs";
import { chown, type FileHandle, mkdir, open } from "node:fs/promises";
import path from "node:path";

import { CleanupStack, deferred, type HeldLock, type Logger, messageOf, tryLock } from "@ol/common";

import { sandboxError } from "../errors.ts";
import { BrokerClient } from "../sock/broker-client.ts";
import { findPython, PORTER } from "../sock/python.ts";
import type { Container } from "./container.ts";
import type { ContainerKit } from "./container-kit.ts";
import { type ContainerFrame, LABELS } from "./container-body.ts";
import type { ContainerDaemon, DaemonInfo } from "./daemon.ts";
import { findDaemon } from "./find-daemon.ts";
import { prepareImage } from "./image.ts";
import type { DockerEngineOptions } from "./options.ts";
import { Orphans } from "./orphans.ts";
import { copyRuntime, sealRuntime } from "./runtime-copy.ts";
import { removeContainers } from "./sweep.ts";
import { type ImageReport, tryImage } from "./trial.ts";

// Linux's, which Node has no name for: a place to begin paths at.
const O_PATH = 0o10000000;
const TRIAL_LIMITS = {
  memoryMb: 256,
  swappiness: 0,
  procs: 32,
  cpuPercent: 400,
  logMb: 1,
  scratchMb: 16,
};
const TRIAL = "trial";

/** What an engine has taken before it makes the first sandbox. */
export interface Ground {
  readonly kit: ContainerKit;
  /** By the sandbox's id; the porter's word about one of them is passed on to it. */
  readonly containers: Map<string, Container>;
  readonly report: ImageReport;
  /** Containers and directories of an earlier engine that were removed. */
  readonly swept: number;
  /** Sentences about what is not as it should be. */
  readonly notes: readonly string[];
  /** Settles when the porter ends unasked. */
  readonly lost: Promise<string>;
  /** Gives all of it back; containers must be gone. */
  close(): Promise<void>;
}

/** What comes before the image: nobody else works here, and nothing is left of who did. */
interface Claim {
  readonly daemon: ContainerDaemon;
  readonly info: DaemonInfo;
  readonly porter: BrokerClient;
  readonly meetingDir: string;
  readonly swept: number;
  readonly notes: readonly string[];
}

/**
 * Finds the daemon, removes what an earlier engine of this worker left, and gets an image that works. Fails with
 * OL_SANDBOX_DAEMON_UNAVAILABLE, _BAD_IMAGE, _BAD_OPTIONS, _HOST_UNFIT, _DIRECTORY_IN_USE or _BROKER_LOST.
 */
export const takeGround = async (options: DockerEngineOptions, logger: Logger): Promise<Ground> => {
  const taken = new CleanupStack();
  try {
    return await takeAll(options, taken, logger);
  } catch (error) {
    await taken.run();
    throw error;
  }
};

const takeAll = async (
  options: DockerEngineOptions,
  taken: CleanupStack,
  logger: Logger,
): Promise<Ground> => {
  const containers = new Map<string, Container>();
  const lost = deferred<string>();
  const claimed = await claim(options, containers, lost.resolve, taken, logger);
  const { daemon, info, porter, meetingDir, swept, notes } = claimed;
  const meeting = await open(meetingDir, O_PATH | constants.O_DIRECTORY);
  taken.add(() => meeting.close());
  const runtimeDir = path.join(options.workDir, "run", "runtime");
  await copyRuntime(runtimeDir);
  const { image: named, baseDir } = options;
  const image = await prepareImage(daemon, { image: named, baseDir }, logger);
  const frame = frameOf(options, info, image, runtimeDir);
  const report = await tried(options, daemon, frame, porter, meeting, meetingDir);
  await sealRuntime(runtimeDir);
  const kit: ContainerKit = {
    daemon,
    porter,
    frame,
    meeting,
    meetingDir,
    orphans: new Orphans(daemon, logger),
    namePrefix: namePrefixOf(options),
    seccomp: options.seccomp ?? true,
    logger,
  };
  const close = async (): Promise<void> => {
    await kit.orphans.close();
    await taken.run();
  };
  return { kit, containers, report, swept, notes, lost: lost.promise, close };
};

/** What is done before the first sandbox is made, and nothing else. Returns how many things were removed. */
export const sweepGround = async (options: DockerEngineOptions, logger: Logger): Promise<number> => {
  await using undo = new CleanupStack();
  return (await claim(options, new Map(), () => undefined, undo, logger)).swept;
};

const claim = async (
  options: DockerEngineOptions,
  containers: ReadonlyMap<string, Container>,
  lost: (reason: string) => void,
  taken: CleanupStack,
  logger: Logger,
): Promise<Claim> => {
  validateOptions(options);
  const python = await findPython(options.python);
  const { daemon, info } = await findDaemon(options.daemon ?? {});
  checkRuntime(options.runtime, info);
  await makeDirectories(options);
  const lock = await takeLock(options);
  taken.add(() => lock.release());
  const removed = await removeContainers(daemon, labelsOf(options));
  const porter = startPorter(python.path, containers, lost, logger);
  taken.add(() => porter.close());
  const started = await porter.request("start", startFields(options, info));
  return {
    daemon,
    info,
    porter,
    meetingDir: started["meeting"] as string,
    swept: removed + (started["swept"] as number),
    notes: started["notes"] as string[],
  };
};

const labelsOf = ({ clusterId, workerName }: DockerEngineOptions): Readonly<Record<string, string>> => ({
  [LABELS.cluster]: clusterId,
  [LABELS.worker]: workerName,
});

const namePrefixOf = ({ clusterId, workerName }: DockerEngineOptions): string =>
  `ol-${clusterId}-${workerName}`;

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
const takeLock = async (options: DockerEngineOptions): Promise<HeldLock> => {
  const lock = await tryLock(`${namePrefixOf(options)}-docker`, "runs containers");
  if (lock !== undefined) return lock;
  throw sandboxError(
    "OL_SANDBOX_DIRECTORY_IN_USE",
    `another worker has this cluster's id and the name ${options.workerName}; stop it, or, if the cluster directory is a copy, make a new cluster instead`,
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
  options: DockerEngineOptions,
  info: DaemonInfo,
  image: string,
  runtimeDir: string,
): ContainerFrame => ({
  info,
  image,
  python: options.imagePython ?? "python3",
  runtime: options.runtime,
  network: options.network ?? "host",
  runtimeDir,
  packagesDir: options.packagesDir,
  labels: labelsOf(options),
});

const tried = async (
  options: DockerEngineOptions,
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
      name: `${namePrefixOf(options)}-${TRIAL}`,
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
