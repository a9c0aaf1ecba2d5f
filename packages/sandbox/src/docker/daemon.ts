import type { Readable } from "node:stream";

/** What a container is made from, in the words of the Docker API's `POST /containers/create`. */
export interface ContainerBody {
  readonly Image: string;
  readonly User: string;
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly Env: readonly string[];
  readonly WorkingDir: string;
  readonly Hostname: string;
  readonly StopSignal: string;
  readonly Labels: Readonly<Record<string, string>>;
  readonly HostConfig: Readonly<Record<string, unknown>>;
}

/** What a container may use, in the words of `POST /containers/{id}/update`; what is absent has no limit. */
export interface ContainerLimits {
  /** In bytes; `MemorySwap`, with swap, -1 is without a limit. */
  readonly Memory?: number;
  readonly MemorySwap?: number;
  /** Of control groups v1; only when a container is made. */
  readonly MemorySwappiness?: number;
  readonly PidsLimit?: number;
  /** In us. */
  readonly CpuPeriod?: number;
  readonly CpuQuota?: number;
}

/** What a daemon says of itself and of its machine. */
export interface DaemonInfo {
  /** "Docker 20.10.24" or "Podman 4.3.1". */
  readonly product: string;
  readonly podman: boolean;
  /** `none`: containers get no limits at all. */
  readonly cgroups: "cgroup-v1" | "cgroup-v2" | "none";
  readonly memoryLimit: boolean;
  readonly swapLimit: boolean;
  readonly pidsLimit: boolean;
  readonly cpuLimit: boolean;
  /** Its containers' root is an ordinary user of this machine. */
  readonly rootless: boolean;
  /** Ids in containers are other ones on this machine, unless a container asks for the machine's own. */
  readonly remapsIds: boolean;
  readonly seccomp: boolean;
  readonly runtimes: readonly string[];
}

/** How a container's first process ended, as the daemon remembers it. */
export interface ContainerState {
  readonly running: boolean;
  /** Its process id on the machine; 0 if there is none. */
  readonly pid: number;
  readonly exitCode: number;
  readonly outOfMemory: boolean;
  /** What the daemon says went wrong; "" if nothing did. */
  readonly error: string;
}

/** A container that has our labels. */
export interface LabelledContainer {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Such as "running", "paused", "exited". */
  readonly state: string;
  readonly createdMs: number;
}

/**
 * All that the engine asks of a daemon: Docker Engine, or Podman's socket that speaks the same. Each call has a deadline. What cannot
 * be reached, or does not answer in time, fails with OL_SANDBOX_DAEMON_UNAVAILABLE; what the daemon refuses, with a DaemonRefusal.
 */
export interface ContainerDaemon {
  /** Where it is, for people: "unix:///var/run/docker.sock". */
  readonly address: string;
  /** The path of its socket, if that is a unix socket. */
  readonly socketPath: string | undefined;
  info(): Promise<DaemonInfo>;
  /** Settles with the container's id. */
  create(name: string, body: ContainerBody, signal?: AbortSignal): Promise<string>;
  start(id: string, signal?: AbortSignal): Promise<void>;
  /** Settles with the exit code of one that was started, once it has ended; has no deadline. */
  ended(id: string): Promise<number>;
  inspect(id: string): Promise<ContainerState>;
  pause(id: string): Promise<void>;
  unpause(id: string): Promise<void>;
  /** Changes what one that runs may use. Refused where less memory is wanted than it holds, and by daemons that cannot do it. */
  update(id: string, limits: ContainerLimits): Promise<void>;
  memoryBytes(id: string): Promise<number>;
  /** The end of what it has written, where its log is kept. */
  lastWords(id: string): Promise<string>;
  /** Kills it if it runs. One that is not there is removed already. */
  remove(id: string): Promise<void>;
  /** Those that have all of these labels, ended ones too. */
  list(labels: Readonly<Record<string, string>>): Promise<readonly LabelledContainer[]>;
  hasImage(name: string): Promise<boolean>;
  /** `progress` hears what is being done. */
  pull(name: string, progress: (line: string) => void): Promise<void>;
  /** Builds from an archive with a Dockerfile in it. */
  build(
    archive: Readable,
    tag: string,
    args: Readonly<Record<string, string>>,
    progress: (line: string) => void,
  ): Promise<void>;
  /** Makes an image of an archive of a root file system. */
  import(archive: Readable, repository: string, tag: string): Promise<void>;
  /** The name by which it finds images that it has: those that were imported may be called otherwise there. */
  removeImage(name: string): Promise<void>;
}

/** The daemon understood, and said no. */
export class DaemonRefusal extends Error {
  /** HTTP's; 0 if it came in the middle of an answer. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}
