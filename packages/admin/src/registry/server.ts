import { rm } from "node:fs/promises";

import { messageOf } from "@ol/common";
import { readJsonObject, writeJsonFile } from "@ol/config";

import type { Context } from "../cli/command.ts";
import type { Cluster } from "../cluster/discover.ts";
import type { ClusterPaths } from "../cluster/paths.ts";
import { adminError } from "../errors.ts";
import { launchProcess } from "../process/launch.ts";
import { readPidFile, removePidFile } from "../process/pid-file.ts";
import { isPortFree, portHolder } from "../process/port.ts";
import { type StopOutcome, stopProcess } from "../process/stop.ts";
import { findScope } from "../worker/scope.ts";
import { stateOf, type WorkerState } from "../worker/list.ts";
import { type PlannedRegistry, readRegistryPlan, writeRegistryPlan } from "./plan.ts";

export const REGISTRY_NAME = "registry";
/** An upload of a large bundle may be under way. */
const GRACE_MS = 40_000;
/** Each write that waits for the disk holds a thread of Node's pool; the process cannot enlarge it once it runs. */
const DISK_THREADS = { UV_THREADPOOL_SIZE: "16" };
const LOOPBACK = ["127.0.0.1", "::1"];

/** Whether the cluster's own registry runs. */
export const registryState = (paths: ClusterPaths): WorkerState => stateOf(readPidFile(paths.registryPid));

/** Ends it when what it does is done; "was-gone" if it does not run. Its pid file is gone then. */
export const stopRegistry = async (
  paths: ClusterPaths,
  interrupt: AbortSignal,
  graceMs: number = GRACE_MS,
): Promise<StopOutcome> => {
  const recorded = readPidFile(paths.registryPid);
  const outcome =
    recorded === undefined || recorded === "unreadable"
      ? "was-gone"
      : await stopProcess(recorded, graceMs, interrupt);
  removePidFile(paths.registryPid);
  return outcome;
};

const assertPortFree = async (port: number): Promise<void> => {
  if (await isPortFree(LOOPBACK, port)) return;
  throw adminError(
    "OL_ADMIN_PORT_IN_USE",
    `port ${port} is in use by ${portHolder(port) ?? "another process"}; stop it, or take another with --port`,
  );
};

/**
 * Writes config/registry.json and starts the registry by it, in the background; settles with its URL. If that fails, the file is
 * as it was, and nothing runs. Fails with OL_ADMIN_PORT_IN_USE and OL_ADMIN_REGISTRY_FAILED.
 */
export const startRegistry = async (
  { paths, identity }: Cluster,
  planned: PlannedRegistry,
  context: Context,
): Promise<string> => {
  await assertPortFree(planned.port);
  const before = (await readRegistryPlan(paths)) && (await readJsonObject(paths.registryConfig));
  await writeRegistryPlan(paths, planned);
  try {
    const scope = await findScope(`ol-${identity.id}-${REGISTRY_NAME}`, context.environment, context.signal);
    const { url } = await launchProcess({
      name: REGISTRY_NAME,
      failure: "OL_ADMIN_REGISTRY_FAILED",
      scope: scope.words,
      command: context.registryCommand(),
      configFile: paths.registryConfig,
      outFile: paths.registryOut,
      pidFile: paths.registryPid,
      environment: { ...DISK_THREADS, ...scope.environment },
      signal: context.signal,
    });
    return url;
  } catch (error) {
    await restore(paths, before, context);
    throw error;
  }
};

const restore = async (
  paths: ClusterPaths,
  before: Record<string, unknown> | undefined,
  { output }: Context,
): Promise<void> => {
  try {
    if (before === undefined) await rm(paths.registryConfig, { force: true });
    else await writeJsonFile(paths.registryConfig, before);
  } catch (error) {
    // Why it did not start matters more, and is thrown after this is said.
    output.message(`config/registry.json could not be restored: ${messageOf(error)}`);
  }
};
