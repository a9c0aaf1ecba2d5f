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
  | "cgroup-freeze"
  | "zygote-user";

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
  /**
   * Whom this process, started by root, becomes after `create`; the broker stays root. It may connect to the sandboxes,
   * and gets `codeDir`, which is emptied if it is not theirs yet. Default: it stays who it is.
   */
  readonly worker?: { readonly uid: number; readonly gid: number };
  /** Where the last output of destroyed sandboxes is kept, as NAME/SANDBOX.stdout and .stderr; default: nowhere. */
  readonly logDir?: string;
  /** Command or path of the Python to use; default `python3`. */
  readonly python?: string;
  /**
   * Directory with installed packages, read-only in every sandbox as /packages. Made if it is not there, and then `worker`'s;
   * default: none.
   */
  readonly packagesDir?: string;
  /**
   * Directory with the root file system that sandboxes see, read-only, instead of this machine's /usr, and whose own Python
   * (/usr/local/bin/python3, else /usr/bin/python3) they run on; default: this machine's own.
   */
  readonly baseDir?: string;
  /**
   * Processes kept forked and waiting at each zygote while nobody wants one; default 1, 0 forks each on demand. At the limit: one
   * more is forked when it is wanted, which takes a few ms.
   */
  readonly prepared?: number;
  /** Most of them at a zygote from which several are forked at once; default 8. At the limit: as for `prepared`. */
  readonly mostPrepared?: number;
  /** What zygotes import of the standard library in advance: what is often used, nothing, or these; default "stdlib". */
  readonly preload?: "stdlib" | "none" | readonly string[];
  /** Network classes whose zygote is started at once and not on first use; default `["host"]`. */
  readonly networks?: readonly NetworkClass[];
  /**
   * What a sandbox's /host is: a directory below `workDir`, measured once a second, or a file system in memory of exactly
   * `limits.scratchMb`, which counts to the sandbox's memory; default "directory".
   */
  readonly scratch?: "directory" | "memory";
  /** Where is logged what people should know; default: nowhere. */
  readonly logger?: Logger;
  /**
   * Whether each sandbox tells, in an event `steps` of the guest right before `ready`, when each step of making it was over
   * (`parseSteps`); default false.
   */
  readonly steps?: boolean;
  /** Whether a paused sandbox's memory limit is lowered to what it holds; default true. */
  readonly downsizePaused?: boolean;
  /** For tests only; default: nothing is left out. */
  readonly weaken?: readonly Defence[];
}
