import { relative, resolve } from "node:path";

import { snakeCase, writeJsonFile } from "@ol/config";

import type { ClusterPaths } from "../cluster/paths.ts";
import { readServiceFile } from "../process/service.ts";
import { urlOf } from "../worker/address.ts";

/** The load balancer of a cluster, as its config/load_balancer.json says. */
export interface BalancerPlan {
  readonly port: number;
  readonly policy: string;
  /** Where it is reached from this machine. */
  readonly url: string;
  /** The file with its certificate, if it serves HTTPS. */
  readonly certificateFile?: string;
  /** How long calls may take to end once it is told to stop, in ms. */
  readonly drainMs: number;
}

export const DEFAULT_BALANCER_PORT = 7079;
export const DEFAULT_POLICY = "LARD";
const DEFAULT_DRAIN_MS = 30_000;
const DEFAULT_ADDRESS = "localhost";
/** It may hold a token. */
const OWNER_ONLY = 0o600;

type Fields = Readonly<Record<string, unknown>>;

/** As the file is, in today's spelling of its keys; what is wrong in it, the balancer itself says when it starts. */
const read = async (paths: ClusterPaths): Promise<Fields | undefined> => {
  const file = await readServiceFile(paths.balancerConfig);
  if (file === undefined) return undefined;
  return Object.fromEntries(Object.entries(file).map(([key, value]) => [snakeCase(key), value]));
};

/** Undefined if the cluster has no load balancer. Fails as @ol/config's readers of files do. */
export const readBalancerPlan = async (paths: ClusterPaths): Promise<BalancerPlan | undefined> => {
  const file = await read(paths);
  if (file === undefined) return undefined;
  const { port: configured, policy, url: address, tls, limits } = file;
  const port = Number(configured ?? DEFAULT_BALANCER_PORT);
  const plain = urlOf(typeof address === "string" ? address : DEFAULT_ADDRESS, port);
  const cert = (tls as Fields | undefined)?.["cert"];
  const drainMs = (limits as Fields | undefined)?.["drain_ms"];
  return {
    port,
    policy: typeof policy === "string" ? policy : DEFAULT_POLICY,
    url: tls === undefined ? plain : plain.replace(/^http:/u, "https:"),
    ...(typeof cert === "string" && { certificateFile: resolve(paths.root, cert) }),
    drainMs: typeof drainMs === "number" ? drainMs : DEFAULT_DRAIN_MS,
  };
};

/** What `ol-admin load-balancer` and `new --load-balancer` decide. */
export type PlannedBalancer = Pick<BalancerPlan, "port" | "policy">;

/** Writes config/load_balancer.json; what else is in it stays. */
export const writeBalancerPlan = async (paths: ClusterPaths, planned: PlannedBalancer): Promise<void> => {
  const workers_file = relative(paths.root, paths.workerList);
  await writeJsonFile(
    paths.balancerConfig,
    { workers_file, ...(await read(paths)), port: planned.port, policy: planned.policy },
    OWNER_ONLY,
  );
};
