import { randomBytes } from "node:crypto";
import { lstat, mkdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import { CleanupStack, isOlError, systemReason } from "@ol/common";
import { type ClusterIdentity, newClusterId, writeJsonFile } from "@ol/config";

import { DEFAULT_BALANCER_PORT, DEFAULT_POLICY, writeBalancerPlan } from "../balancer/plan.ts";
import { adminError, errnoOf } from "../errors.ts";
import { shown } from "../text.ts";
import {
  DEFAULT_REGISTRY_PORT,
  newKeys,
  readRegistryPlan,
  templateFor,
  writeRegistryPlan,
} from "../registry/plan.ts";
import { type ClusterPaths, clusterPaths } from "./paths.ts";
import { writeProtected } from "./protected-file.ts";

/** What `new` is told. */
export interface NewCluster {
  /** Absolute. */
  readonly directory: string;
  /** How many workers are planned. */
  readonly workers: number;
  /** Whether it gets a registry of its own; its keys are made here. */
  readonly registry?: boolean;
  /** Whether it gets a load balancer of its own, whom its workers believe. */
  readonly balancer?: boolean;
  /** Absolute; what sandboxes see if it is not this machine's own. */
  readonly baseDirectory?: string;
  /** Fills the cluster's own base, an empty directory. */
  readonly fillBase?: (directory: string) => Promise<void>;
}

const DIRECTORIES = ["config", "logs", "logs/lambdas", "base", "packages", "registry", "workers"];
// Whatever the umask: who can write here decides what the owner's workers run, and whom `kill` signals.
const DIRECTORY_MODE = 0o755;
const OWNER_ONLY = 0o600;

const exists = async (path: string): Promise<boolean> => {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
};

const isDirectory = async (path: string): Promise<boolean> => {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    // Missing, or not to be looked at: both are said by the caller.
    return false;
  }
};

/** What a new template says. Nothing but choices that a reader should see; the rest are defaults. */
const templateOf = (name: string, baseDirectory: string | undefined): Record<string, unknown> => ({
  ...(/^[A-Za-z0-9._-]{1,64}$/u.test(name) ? { cluster_name: name } : {}),
  worker_url: "localhost",
  worker_port: 8080,
  sandbox: "sock",
  ...(baseDirectory === undefined ? {} : { sock_base_path: baseDirectory }),
  network: "host",
  registry: "local",
});

/** Settles with what the workers have to know of it. */
const planRegistry = async (paths: ClusterPaths): Promise<Readonly<Record<string, unknown>>> => {
  const reader = newKeys();
  await writeRegistryPlan(paths, { port: DEFAULT_REGISTRY_PORT, admin: newKeys(), reader });
  const plan = await readRegistryPlan(paths);
  return plan === undefined ? {} : templateFor(plan, reader);
};

/** Workers need not know of it: they know the cluster's token. */
const planBalancer = (paths: ClusterPaths): Promise<void> =>
  writeBalancerPlan(paths, { port: DEFAULT_BALANCER_PORT, policy: DEFAULT_POLICY });

const fill = async (root: string, name: string, cluster: NewCluster): Promise<void> => {
  const paths = clusterPaths(root);
  for (const directory of DIRECTORIES) await mkdir(join(root, directory), DIRECTORY_MODE);
  const template = templateOf(name, cluster.baseDirectory);
  await writeProtected(paths.template, {
    ...template,
    ...(cluster.registry === true ? await planRegistry(paths) : {}),
  });
  if (cluster.balancer === true) await planBalancer(paths);
  const identity: ClusterIdentity = {
    id: newClusterId(),
    token: randomBytes(32).toString("hex"),
    plan: { workers: cluster.workers },
  };
  await writeJsonFile(paths.identity, identity, OWNER_ONLY);
  await cluster.fillBase?.(join(root, "base"));
};

/**
 * Makes a cluster directory. It is made under another name and renamed when it is whole, so that a failure at
 * any moment leaves nothing that looks like a cluster. Fails with OL_ADMIN_CLUSTER_EXISTS, OL_ADMIN_FILE, and as
 * `fillBase` does.
 */
export const createCluster = async (cluster: NewCluster): Promise<void> => {
  const { directory } = cluster;
  const parent = dirname(directory);
  const name = basename(directory);
  if (await exists(directory))
    throw adminError(
      "OL_ADMIN_CLUSTER_EXISTS",
      `${shown(directory)} exists already; choose another name, or remove it first`,
    );
  if (!(await isDirectory(parent)))
    throw adminError(
      "OL_ADMIN_CLUSTER_EXISTS",
      `${shown(parent)} is no directory; a cluster is made in one that exists`,
    );
  const temporary = join(parent, `.${name}.tmp-${randomBytes(6).toString("hex")}`);
  await using undo = new CleanupStack();
  undo.add(() => rm(temporary, { recursive: true, force: true }));
  try {
    await mkdir(temporary, DIRECTORY_MODE);
    await fill(temporary, name, cluster);
    await rename(temporary, directory);
  } catch (error) {
    if (isOlError(error)) throw error;
    throw adminError("OL_ADMIN_FILE", `cannot make ${shown(directory)}: ${systemReason(error)}`, {
      cause: error,
    });
  }
  undo.release();
};
