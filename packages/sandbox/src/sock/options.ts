import type { Logger, NetworkClass } from "@ol/common";

/** Defences that tests leave out one at a time, to show that what they stop succeeds without them. */
export type Defence =
  | "seccomp"
  | "capabilities"
  | "user"
  | "pid-namespace"
  | "ipc-namespace"
  | "network-namespace"
  | "landlock"
  | "read-only"
  /** All control groups. */
  | "cgroups"
  /** Only the one that freezes. */
  | "cgroup-freeze";

/** Where a SOCK engine works, and as what. */
export interface SockEngineOptions {
  /** Random id of the cluster, `[a-z0-9]{4,16}`: whatever is made on the host begins with `ol-<clusterId>-`. */
  readonly clusterId: string;
  /** Name of the worker within the cluster, `[a-z0-9-]`. */
  readonly workerName: string;
  /** Directory of this worker alone: scratch directories, sockets, the lock. Made if it is not there. */
  readonly workDir: string;
  /** Directory under which every sandbox's code lies. Made if it is not there. */
  readonly codeDir: string;
  /** Where the last output of destroyed sandboxes is kept, as NAME/SANDBOX.stdout and .stderr; default: nowhere. */
  readonly logDir?: string;
  /** Command or path of the Python to use; default `python3`. */
  readonly python?: string;
  /** Processes kept forked and waiting, for each network class in use; default 1, 0 forks each on demand. */
  readonly prepared?: number;
  /** Network classes whose zygote is started at once and not on first use; default `["host"]`. */
  readonly networks?: readonly NetworkClass[];
  readonly logger?: Logger;
  /** Whether a paused sandbox's memory limit is lowered to what it holds; default true. */
  readonly downsizePaused?: boolean;
  /** For tests only. */
  readonly weaken?: readonly Defence[];
}
