import type { NetworkClass, SandboxLimits } from "@ol/common";

import { sandboxError } from "../errors.ts";
import type { ContainerBody, ContainerLimits, DaemonInfo } from "./daemon.ts";

/** As sandboxes of the other engine have it. */
const OOM_SCORE = 500;
const MIB = 1_048_576;
/** As sandboxes of the other engine. */
const OPEN_FILES = 4_096;
/** Of a user; how many a sandbox may have, PidsLimit says. Podman would ask for more than the machine may allow it. */
const PROCESSES_OF_USER = 4_096;
const CPU_PERIOD_USEC = 100_000;
const PYTHON_FLAGS = ["-I", "-S", "-B", "-X", "utf8", "-c"];
const RUNTIME = "/ol/runtime";
const START = `import sys; sys.path.insert(0, "${RUNTIME}"); from ol_guest.`;

/**
 * What the guest does in the container: `main` serves a lambda, `shared` is what sandboxes of a lambda are forked from, `report`
 * says whether the image is of use.
 */
export type GuestProgram = "main" | "shared" | "report";
const PROGRAMS: Readonly<Record<GuestProgram, string>> = {
  main: "container import main",
  shared: "shared import main",
  report: "container import report",
};

/** What is the same for every container of an engine. */
export interface ContainerFrame {
  readonly info: DaemonInfo;
  readonly image: string;
  /** As on PATH in the image. */
  readonly python: string;
  /** OCI runtime; undefined is the daemon's own. */
  readonly runtime: string | undefined;
  /** What a sandbox of network class `host` is given: `host`, `bridge`, or the name of one of the daemon's networks. */
  readonly network: string;
  readonly runtimeDir: string;
  readonly packagesDir: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

/** What differs. Paths are the host's. */
export interface ContainerWish {
  readonly program: GuestProgram;
  readonly network: NetworkClass;
  readonly limits: SandboxLimits;
  /** How large /tmp and /dev/shm can become, which is part of the memory limit; default: as large as that. */
  readonly filesMb?: number;
  readonly scratch: string;
  readonly code: string;
  /** The guest's socket; of a shared container the directory of its sockets. */
  readonly socket: string;
  /** User and group on the host, and in the container. */
  readonly uid: number;
  readonly labels: Readonly<Record<string, string>>;
}

/** Labels of every container of ours; sweeping and `status` go by them. */
export const LABELS = {
  cluster: "openlambda.cluster",
  worker: "openlambda.worker",
  sandbox: "openlambda.sandbox",
  lambda: "openlambda.lambda",
} as const;

/** The daemon's name of a network class. Fails with OL_SANDBOX_NETWORK_UNAVAILABLE. */
export const networkMode = (network: NetworkClass, ofHost: string): string => {
  if (network === "none") return "none";
  if (network === "host") return ofHost;
  throw sandboxError(
    "OL_SANDBOX_NETWORK_UNAVAILABLE",
    "Network outbound cannot be had with the engine docker: every network of a container daemon but none leads to this machine's own addresses too; use none or host, or the engine sock.",
  );
};

/** A container as the daemon is asked for it. */
export const containerBody = (frame: ContainerFrame, wish: ContainerWish): ContainerBody => {
  const { info, image, python } = frame;
  const user = info.rootless ? 0 : wish.uid;
  const filesMb = wish.filesMb ?? wish.limits.memoryMb;
  return {
    Image: image,
    User: `${user}:${user}`,
    Entrypoint: [python],
    Cmd: [...PYTHON_FLAGS, `${START}${PROGRAMS[wish.program]} as program; program()`],
    Env: ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/host"],
    WorkingDir: "/",
    Hostname: "sandbox",
    // A daemon that stops would wait ten seconds for what Python, as a first process, does not hear.
    StopSignal: "SIGKILL",
    Labels: { ...frame.labels, ...wish.labels },
    HostConfig: {
      ...confinement(frame, wish),
      ...limitsOf(info, wish.limits),
      Mounts: mountsOf(frame, wish),
      // /dev/shm; the memory limit counts both.
      ShmSize: filesMb * MIB,
      Tmpfs: { "/tmp": `rw,exec,nosuid,nodev,mode=1777,size=${filesMb}m` },
      // A lambda's output is in files of its scratch. That of a container that only tries the image is asked for.
      LogConfig: { Type: wish.program === "report" ? "json-file" : "none" },
      ...(frame.runtime !== undefined && { Runtime: frame.runtime }),
    },
  };
};

const confinement = ({ info, network }: ContainerFrame, wish: ContainerWish): Record<string, unknown> => ({
  NetworkMode: networkMode(wish.network, network),
  ReadonlyRootfs: true,
  CapDrop: ["ALL"],
  SecurityOpt: ["no-new-privileges"],
  IpcMode: "private",
  CgroupnsMode: "private",
  OomScoreAdj: OOM_SCORE,
  Ulimits: [
    { Name: "nofile", Soft: OPEN_FILES, Hard: OPEN_FILES },
    ...(info.podman ? [{ Name: "nproc", Soft: PROCESSES_OF_USER, Hard: PROCESSES_OF_USER }] : []),
  ],
  RestartPolicy: { Name: "no" },
  // The scratch directory belongs to an id of this machine, and has to be the container's.
  ...(info.remapsIds && { UsernsMode: "host" }),
});

/** The part of it that can be changed while it runs. */
export const limitsOf = (info: DaemonInfo, limits: SandboxLimits): ContainerLimits => {
  if (info.cgroups === "none") return {};
  const memory = limits.memoryMb * MIB;
  return {
    ...(info.memoryLimit && {
      Memory: memory,
      MemorySwap: limits.swappiness === 0 ? memory : -1,
      ...(limits.swappiness > 0 && info.cgroups === "cgroup-v1" && { MemorySwappiness: limits.swappiness }),
    }),
    ...(info.pidsLimit && { PidsLimit: limits.procs }),
    ...(info.cpuLimit && {
      CpuPeriod: CPU_PERIOD_USEC,
      CpuQuota: (CPU_PERIOD_USEC / 100) * limits.cpuPercent,
    }),
  };
};

const mountsOf = (frame: ContainerFrame, wish: ContainerWish): object[] => {
  return [
    bind(frame.runtimeDir, RUNTIME, wish.program !== "report"),
    // To connect to a socket is no change of the directory.
    wish.program === "shared" ? bind(wish.socket, "/ol/run", true) : bind(wish.socket, "/ol/socket", false),
    bind(wish.scratch, "/host", false),
    bind(wish.code, "/handler", true),
    ...(frame.packagesDir === undefined ? [] : [bind(frame.packagesDir, "/packages", true)]),
  ];
};

const bind = (source: string, target: string, readOnly: boolean): object => ({
  Type: "bind",
  Source: source,
  Target: target,
  ReadOnly: readOnly,
  // Nothing that is mounted below on either side is seen on the other.
  BindOptions: { Propagation: "rprivate" },
});
