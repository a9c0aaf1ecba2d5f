import { readdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { basename, join, resolve } from "node:path";

import { type LambdaLimits, LIMIT_KEYS, type NetworkClass, limitsOrDefaults } from "@ol/common";

import { derivedClusterId } from "./cluster-file.ts";
import { type CodeRegistryConfig, registryOf } from "./code-registry.ts";
import { configError } from "./errors.ts";
import { type Environment, templateFromEnvironment } from "./environment.ts";
import { readJsonObject } from "./json-file.ts";
import { addressesOf, isLoopback } from "./listen-address.ts";
import { defaultMemPoolMb, usableMemoryMb } from "./memory.ts";
import { merged } from "./merge.ts";
import { type Place, placeOf } from "./place.ts";
import type { WorkerTemplate } from "./template.ts";
import { validateTemplate } from "./validate.ts";

/** With whom a worker registers itself. */
export interface RegistrationConfig {
  /** Load balancers' URLs. */
  readonly balancers: readonly string[];
  /** Where they find the worker; absent: where it listens. */
  readonly advertiseUrl?: string;
  readonly token: string;
}

/** Of the engine `docker`. */
export interface DockerConfig {
  /** Absent: the environment says, or the usual sockets are tried. */
  readonly host?: string;
  /** Absolute. */
  readonly certPath?: string;
  /** Absent: one is made of `basePath`, or built. */
  readonly baseImage?: string;
  readonly python: string;
  readonly runtime?: string;
  readonly network: string;
  readonly prepared: number;
  readonly share: "off" | "lambda";
}

/** A worker's configuration with every default filled in. Paths are absolute. */
export interface WorkerConfig extends CodeRegistryConfig {
  /** The file it came from. */
  readonly file: string;
  /** The cluster directory, if the file is in one. */
  readonly clusterDir?: string;
  /** 8 of [a-z0-9]: names of cgroups and the like begin with `ol-<id>-`. */
  readonly clusterId: string;
  readonly clusterName: string;
  /** The name of `workerDir`, such as `worker-0`, cut down to `[a-z0-9-]`: names on the host are made from it. */
  readonly workerName: string;
  readonly workerDir: string;
  /** Bundles that came from a registry, unpacked; shared by the workers of a cluster. */
  readonly bundlesDir: string;
  /** Where the last output of destroyed sandboxes goes: NAME/ below it. */
  readonly lambdaLogDir: string;
  /** As configured; for messages. */
  readonly workerUrl: string;
  /** What to listen on. */
  readonly addresses: readonly string[];
  /** 0 is any free port. */
  readonly workerPort: number;
  /** As configured; `workerIdentity` finds out who that is. */
  readonly workerUser?: string;
  readonly workerSlots: number;
  readonly queueTimeoutMs: number;
  /** 0 is never. */
  readonly pauseLingerMs: number;
  readonly downsizePausedMem: boolean;
  readonly sandbox: "sock" | "docker";
  readonly docker: DockerConfig;
  /** The root file system that sandboxes see; absent: this machine's own. */
  readonly basePath?: string;
  readonly network: NetworkClass;
  readonly registryCacheMs: number;
  readonly memPoolMb: number;
  readonly eviction: "default" | "lru" | "priority" | "greedyDual";
  readonly limits: LambdaLimits;
  readonly pkgsDir: string;
  readonly pipMirror?: string;
  readonly packageTool: "auto" | "uv" | "pip";
  readonly installWaitMs: number;
  readonly installerLimits: {
    readonly procs: number;
    readonly memoryMb: number;
    readonly runtimeSec: number;
    readonly scratchMb: number;
  };
  readonly sourcePackages: boolean;
  readonly importCache: "off" | "tree" | "auto";
  /** A path, or the tree itself; of `importCache` "tree" only. */
  readonly importCacheTree?: string | Readonly<Record<string, unknown>>;
  readonly startupPkgs: readonly string[];
  /** Undefined is no trace. */
  readonly traceFile?: string;
  readonly enableSeccomp: boolean;
  readonly scratch: "directory" | "memory";
  /** The cluster's, if it has one: load balancers that know it are believed. */
  readonly token?: string;
  readonly trustedProxies: readonly string[];
  /** Absent: the worker registers with nobody. */
  readonly registration?: RegistrationConfig;
  /** "" is standard output, "stderr" standard error, anything else an absolute path. */
  readonly logOutput: string;
  /** One sentence each, to be logged at start. */
  readonly warnings: readonly string[];
}

const warningsOf = (template: WorkerTemplate, url: string, enableSeccomp: boolean): string[] => [
  ...(template.sandbox === "docker" && (template.import_cache ?? "off") !== "off"
    ? [
        `import_cache is ${JSON.stringify(template.import_cache)}, and is off: the engine docker has no zygotes`,
      ]
    : []),
  ...(template.sandbox === "docker" && template.storage?.scratch === "memory"
    ? ["storage.scratch is memory, and is a directory: the engine docker has no other"]
    : []),
  ...(addressesOf(url).every((address) => isLoopback(address))
    ? []
    : [
        `worker_url is ${JSON.stringify(url)}: callers are not authenticated, so whoever reaches the port can run every lambda; put a proxy that checks them in front, or use "localhost"`,
      ]),
  ...(enableSeccomp
    ? []
    : ["features.enable_seccomp is false: lambdas can get out of their sandboxes; this is for tests only"]),
];

const limitsOf = (template: WorkerTemplate): LambdaLimits => {
  const values = LIMIT_KEYS.flatMap(({ key, field }) => {
    const value = template.limits?.[key];
    return value === undefined ? [] : [[field, value]];
  });
  return limitsOrDefaults(Object.fromEntries(values) as Partial<LambdaLimits>);
};

const pathsOf = (
  template: WorkerTemplate,
  place: Place,
): Pick<
  WorkerConfig,
  "workerDir" | "bundlesDir" | "pkgsDir" | "lambdaLogDir" | "logOutput" | "traceFile"
> => {
  const at = (path: string): string => resolve(place.root, path);
  const workerDir = at(template.worker_dir ?? join("workers", place.name));
  const output = template.log_output ?? "";
  return {
    workerDir,
    bundlesDir: place.clusterDir === undefined ? join(workerDir, "bundles") : at("code"),
    pkgsDir: at(template.pkgs_dir ?? "packages"),
    ...(template.trace === undefined || template.trace === "" ? {} : { traceFile: at(template.trace) }),
    lambdaLogDir: place.clusterDir === undefined ? join(workerDir, "logs", "lambdas") : at("logs/lambdas"),
    logOutput: output === "" || output === "stderr" ? output : at(output),
  };
};

const packagesOf = (
  template: WorkerTemplate,
  place: Place,
): Pick<
  WorkerConfig,
  | "pipMirror"
  | "packageTool"
  | "installWaitMs"
  | "installerLimits"
  | "sourcePackages"
  | "importCache"
  | "importCacheTree"
  | "startupPkgs"
> => {
  const { pip_mirror: mirror, import_cache_tree: tree, installer_limits: limits = {} } = template;
  return {
    ...(mirror === undefined ? {} : { pipMirror: mirror }),
    packageTool: template.package_tool ?? "auto",
    installWaitMs: template.install_wait_ms ?? 30_000,
    installerLimits: {
      procs: limits.procs ?? 256,
      memoryMb: limits.mem_mb ?? 1024,
      runtimeSec: limits.runtime_sec ?? 300,
      scratchMb: limits.scratch_mb ?? 8192,
    },
    sourcePackages: template.source_packages ?? false,
    importCache: template.sandbox === "docker" ? "off" : (template.import_cache ?? "auto"),
    ...(tree === undefined
      ? {}
      : { importCacheTree: typeof tree === "string" ? resolve(place.root, tree) : tree }),
    startupPkgs: template.startup_pkgs ?? [],
  };
};

const dockerOf = ({ docker = {} }: WorkerTemplate, place: Place): DockerConfig => ({
  ...(docker.host !== undefined && { host: docker.host }),
  ...(docker.cert_path !== undefined && { certPath: resolve(place.root, docker.cert_path) }),
  ...(docker.base_image !== undefined && { baseImage: docker.base_image }),
  python: docker.python ?? "python3",
  ...(docker.runtime !== undefined && { runtime: docker.runtime }),
  network: docker.network ?? "host",
  prepared: docker.prepared ?? 2,
  share: docker.share ?? "off",
});

const EVERY_ADDRESS: ReadonlySet<string> = new Set(["0.0.0.0", "::", "[::]"]);

const registrationOf = (
  template: WorkerTemplate,
  place: Place,
  workerUrl: string,
): Pick<WorkerConfig, "registration"> => {
  const { load_balancer: balancers = [], advertise_url: advertiseUrl } = template;
  const { token } = tokenOf(template, place);
  if (balancers.length === 0) return {};
  if (token === undefined)
    throw configError(
      "OL_CONFIG_INVALID",
      `${place.file}: load_balancer: needs a token, the one that the load balancer has; set token, or OL_TOKEN`,
    );
  if (advertiseUrl === undefined && EVERY_ADDRESS.has(workerUrl))
    throw configError(
      "OL_CONFIG_INVALID",
      `${place.file}: load_balancer: needs advertise_url, since worker_url is every address of this machine and not one that a load balancer could call`,
    );
  return { registration: { balancers, ...(advertiseUrl !== undefined && { advertiseUrl }), token } };
};

const tokenOf = ({ token }: WorkerTemplate, place: Place): { readonly token?: string } => {
  const known = token ?? place.token;
  return known === undefined ? {} : { token: known };
};

/** `base` of the cluster directory as long as nobody has put anything there is this machine's own. */
const basePathOf = async (template: WorkerTemplate, place: Place): Promise<string | undefined> => {
  if (template.sock_base_path !== undefined) return resolve(place.root, template.sock_base_path);
  if (place.clusterDir === undefined) return undefined;
  const directory = join(place.clusterDir, "base");
  try {
    return (await readdir(directory)).length === 0 ? undefined : directory;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    // Something is there: whoever uses it says what is wrong with it.
    return directory;
  }
};

const fill = (template: WorkerTemplate, place: Place, basePath: string | undefined): WorkerConfig => {
  const paths = pathsOf(template, place);
  const workerUrl = template.worker_url ?? "localhost";
  const enableSeccomp = template.features?.enable_seccomp ?? true;
  return {
    file: place.file,
    ...(place.clusterDir === undefined ? {} : { clusterDir: place.clusterDir }),
    clusterId: place.clusterId ?? derivedClusterId(paths.workerDir),
    clusterName: template.cluster_name ?? basename(place.root),
    workerName:
      basename(paths.workerDir)
        .toLowerCase()
        .replaceAll(/[^a-z0-9-]/gu, "-") || "worker",
    ...paths,
    workerUrl,
    addresses: addressesOf(workerUrl),
    workerPort: Number(template.worker_port ?? 8080),
    ...(template.worker_user === undefined ? {} : { workerUser: template.worker_user }),
    workerSlots: template.worker_slots ?? 4 * availableParallelism(),
    queueTimeoutMs: template.queue_timeout_ms ?? 10_000,
    pauseLingerMs: template.pause_linger_ms ?? 1000,
    downsizePausedMem: template.features?.downsize_paused_mem ?? true,
    sandbox: template.sandbox ?? "sock",
    docker: dockerOf(template, place),
    ...(basePath === undefined ? {} : { basePath }),
    network: template.network ?? "host",
    ...registryOf(template, (path) => resolve(place.root, path), place.file),
    registryCacheMs: template.registry_cache_ms ?? 5000,
    memPoolMb: template.mem_pool_mb ?? defaultMemPoolMb(usableMemoryMb(), 1),
    eviction: template.eviction ?? "default",
    limits: limitsOf(template),
    ...packagesOf(template, place),
    enableSeccomp,
    scratch: template.storage?.scratch === "memory" ? "memory" : "directory",
    trustedProxies: template.trusted_proxies ?? [],
    ...tokenOf(template, place),
    ...registrationOf(template, place, workerUrl),
    warnings: warningsOf(template, workerUrl, enableSeccomp),
  };
};

/**
 * Reads a worker's configuration: defaults, over them the file, over that OL_<KEY> variables of the environment.
 * In a cluster (config/cluster.json beside the file) relative paths begin at the cluster directory, else at
 * the file's. Fails with OL_CONFIG_NOT_FOUND, _UNREADABLE, _SYNTAX or _INVALID.
 */
export const loadWorkerConfig = async (
  file: string,
  environment: Environment = {},
): Promise<WorkerConfig> => {
  const fromFile = validateTemplate(await readJsonObject(file), file);
  const overrides = templateFromEnvironment(environment);
  const template = merged({ ...fromFile }, { ...overrides }) as WorkerTemplate;
  const place = await placeOf(file);
  return fill(template, place, await basePathOf(template, place));
};
