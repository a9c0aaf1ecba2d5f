import { dirname, resolve } from "node:path";

import type { TlsFiles } from "@ol/common";

import { BALANCER_SCHEMA, snakeCase } from "./balancer-schema.ts";
import { readClusterIdentity } from "./cluster-file.ts";
import { type Environment, valuesFromEnvironment } from "./environment.ts";
import { readJsonObject } from "./json-file.ts";
import { addressesOf, isLoopback } from "./listen-address.ts";
import { merged } from "./merge.ts";
import { placeOf } from "./place.ts";
import { readTls, type TlsPaths } from "./tls-files.ts";
import { assertNoProblems, problemsIn } from "./validate.ts";

/** A worker as the list names it. */
export interface ListedWorker {
  readonly id?: string;
  readonly url: string;
  readonly slots?: number;
}

/** The load balancer's configuration with every default filled in. Paths are absolute. */
export interface BalancerConfig {
  /** The file it came from. */
  readonly file: string;
  readonly policy: string;
  readonly loadLow: number;
  readonly loadHigh: number;
  /** Absent: no limit. */
  readonly maxConn?: number;
  readonly maxConnPerFunction?: number;
  readonly queuePerSlot: number;
  readonly queueTimeoutMs: number;
  readonly retryIdempotent: boolean;
  /** As configured; for messages. */
  readonly url: string;
  /** What to listen on. */
  readonly addresses: readonly string[];
  /** 0 is any free port. */
  readonly port: number;
  readonly tls?: TlsFiles;
  readonly workers: readonly ListedWorker[];
  readonly workersFile?: string;
  readonly workersDns?: string;
  /** Absent: nobody can register. */
  readonly token?: string;
  readonly trustedProxies: readonly string[];
  readonly limits: {
    readonly maxConnections: number;
    readonly headersMs: number;
    readonly bodyIdleMs: number;
    readonly connectMs: number;
    readonly idleMs: number;
    readonly drainMs: number;
    readonly maxKeptBytes: number;
  };
  /** "" is standard output, "stderr" standard error, anything else an absolute path. */
  readonly logOutput: string;
  /** One sentence each, to be logged at start. */
  readonly warnings: readonly string[];
}

/** What load_balancer.json holds, after it has been validated. */
interface BalancerFile {
  readonly policy?: string;
  readonly load_low?: number;
  readonly load_high?: number;
  readonly max_conn?: number;
  readonly max_conn_per_function?: number;
  readonly queue_per_slot?: number;
  readonly queue_timeout_ms?: number;
  readonly retry_idempotent?: boolean;
  readonly url?: string;
  readonly port?: number | string;
  readonly tls?: TlsPaths;
  readonly workers?: readonly (string | ListedWorker)[];
  readonly workers_file?: string;
  readonly workers_dns?: string;
  readonly token?: string;
  readonly trusted_proxies?: readonly string[];
  readonly limits?: {
    readonly connections?: number;
    readonly headers_ms?: number;
    readonly body_idle_ms?: number;
    readonly connect_ms?: number;
    readonly idle_ms?: number;
    readonly drain_ms?: number;
    readonly kept_mb?: number;
  };
  readonly log_output?: string;
}

const MIB = 1024 * 1024;

/** The 2019 fork's spelling of keys is ours afterwards. */
const respelled = (values: Readonly<Record<string, unknown>>, file: string): Record<string, unknown> => {
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(values)) {
    const name = snakeCase(key);
    if (Object.hasOwn(result, name)) assertNoProblems([`${name}: is there twice, in two spellings`], file);
    result[name] = value;
  }
  return result;
};

const limited = (value: number | undefined): number | undefined =>
  value === undefined || value < 0 ? undefined : Math.max(value, 1);

const limitsOf = ({ limits = {} }: BalancerFile): BalancerConfig["limits"] => ({
  maxConnections: limits.connections ?? 10_000,
  headersMs: limits.headers_ms ?? 10_000,
  bodyIdleMs: limits.body_idle_ms ?? 30_000,
  connectMs: limits.connect_ms ?? 1_000,
  idleMs: limits.idle_ms ?? 60_000,
  drainMs: limits.drain_ms ?? 30_000,
  maxKeptBytes: (limits.kept_mb ?? 256) * MIB,
});

const problemsOf = ({ load_low: low = 1, load_high: high = 4 }: BalancerFile): readonly string[] =>
  low < high ? [] : [`load_low: must be less than load_high, which is ${high}`];

const warningsOf = (url: string, values: BalancerFile, token: string | undefined): readonly string[] => [
  ...(addressesOf(url).every((address) => isLoopback(address))
    ? []
    : [
        `url is ${JSON.stringify(url)}: callers are not authenticated, so whoever reaches the port can run every lambda; put a proxy that checks them in front, or use "localhost"`,
      ]),
  ...((values.workers ?? []).length > 0 ||
  values.workers_file !== undefined ||
  values.workers_dns !== undefined ||
  token !== undefined
    ? []
    : ["there are no workers, workers_file, workers_dns or token: there will never be a worker"]),
];

/** An option of which only the absence is no value. */
const optional = <Key extends string, Value>(key: Key, value: Value | undefined): { [K in Key]?: Value } =>
  (value === undefined ? {} : { [key]: value }) as { [K in Key]?: Value };

/**
 * Reads the load balancer's configuration: defaults, over them the file, over that OL_<KEY> variables of the environment. Keys
 * may be spelled as the 2019 fork did (`MaxConn`). In a cluster (config/cluster.json beside the file) relative paths begin at
 * the cluster directory, else at the file's. Fails with OL_CONFIG_NOT_FOUND, _UNREADABLE, _SYNTAX or _INVALID.
 */
export const loadBalancerConfig = async (
  file: string,
  environment: Environment = {},
): Promise<BalancerConfig> => {
  const fromFile = respelled(await readJsonObject(file), file);
  assertNoProblems(problemsIn(fromFile, BALANCER_SCHEMA), file);
  const values = merged(fromFile, valuesFromEnvironment(environment, BALANCER_SCHEMA)) as BalancerFile;
  assertNoProblems(problemsOf(values), file);
  const { root } = await placeOf(file);
  const at = (path: string | undefined): string | undefined =>
    path === undefined ? undefined : resolve(root, path);
  const identity = await readClusterIdentity(dirname(resolve(file)));
  const token = values.token ?? (identity?.token === "" ? undefined : identity?.token);
  const url = values.url ?? "localhost";
  const output = values.log_output ?? "";
  return {
    file: resolve(file),
    policy: values.policy ?? "LARD",
    loadLow: values.load_low ?? 1,
    loadHigh: values.load_high ?? 4,
    ...optional("maxConn", limited(values.max_conn)),
    ...optional("maxConnPerFunction", limited(values.max_conn_per_function)),
    queuePerSlot: values.queue_per_slot ?? 2,
    queueTimeoutMs: values.queue_timeout_ms ?? 10_000,
    retryIdempotent: values.retry_idempotent ?? false,
    url,
    addresses: addressesOf(url),
    port: Number(values.port ?? 7079),
    ...optional("tls", await readTls(values.tls ?? {}, "tls", file, root)),
    workers: (values.workers ?? []).map((one) => (typeof one === "string" ? { url: one } : one)),
    ...optional("workersFile", at(values.workers_file)),
    ...optional("workersDns", values.workers_dns),
    ...optional("token", token),
    trustedProxies: values.trusted_proxies ?? [],
    limits: limitsOf(values),
    logOutput: output === "" || output === "stderr" ? output : resolve(root, output),
    warnings: warningsOf(url, values, token),
  };
};
