import type { DaemonPlace, Logger } from "@ol/common";

/** Where a Docker engine works, and as what. */
export interface DockerEngineOptions {
  /** Random id of the cluster, `[a-z0-9]{4,16}`: containers are named `ol-<clusterId>-...` and have it as a label. */
  readonly clusterId: string;
  /** Name of the worker within the cluster, `[a-z0-9-]`. */
  readonly workerName: string;
  /** Directory of this worker alone: scratch directories, sockets, the lock. Made if it is not there. */
  readonly workDir: string;
  /** Directory under which every sandbox's code lies. Made if it is not there. */
  readonly codeDir: string;
  /**
   * Whom this process, started by root, becomes after `create`; the porter stays root. It gets `codeDir`, and must be able to use
   * the daemon's socket. Default: it stays who it is.
   */
  readonly worker?: { readonly uid: number; readonly gid: number };
  /** Where the last output of destroyed sandboxes is kept, as NAME/SANDBOX.stdout and .stderr; default: nowhere. */
  readonly logDir?: string;
  /** Directory with installed packages, read-only in every sandbox as /packages. Made if it is not there; default: none. */
  readonly packagesDir?: string;
  /** Where the daemon is; default: the usual sockets. It must be one of this machine, since it is given directories. */
  readonly daemon?: DaemonPlace;
  /** Image with Python 3.9 or newer; pulled if it is not there. Default: one that is made of `baseDir`, else built. */
  readonly image?: string;
  /** Directory with a root file system, of which an image is made; default: none. */
  readonly baseDir?: string;
  /** Name or path of Python in the image; default `python3`. */
  readonly imagePython?: string;
  /** OCI runtime that the daemon knows, such as `runsc`; default: the daemon's own. */
  readonly runtime?: string;
  /** What sandboxes of network class `host` get: `host`, `bridge`, or the name of a network of the daemon's; default `host`. */
  readonly network?: string;
  /**
   * Containers that are started in advance for sandboxes like those before; default 0. At the limit: the one that was started
   * longest ago ends for one of another kind.
   */
  readonly prepared?: number;
  /**
   * Whether sandboxes of one lambda share a container, in which each is a process of its own: `lambda`, those of the same name, code,
   * network, packages, environment and limits; default `off`, each has a container. At the limit: a container is shared by 32.
   */
  readonly share?: "off" | "lambda";
  /** Whether the runtime puts its own filter of system calls over the daemon's; default true. `false` is for tests. */
  readonly seccomp?: boolean;
  /** Python of this machine, for the porter; default `python3`. */
  readonly python?: string;
  /** Where is logged what people should know; default: nowhere. */
  readonly logger?: Logger;
}
