import { rm } from "node:fs/promises";

import { isPortFree, isOlError, messageOf } from "@ol/common";
import { readJsonObject, writeJsonFile } from "@ol/config";

import type { Context } from "../cli/command.ts";
import type { Cluster } from "../cluster/discover.ts";
import { adminError } from "../errors.ts";
import { stateOf, type WorkerState } from "../worker/list.ts";
import { findScope } from "../worker/scope.ts";
import { type Launch, launchProcess } from "./launch.ts";
import { readPidFile, removePidFile } from "./pid-file.ts";
import { portHolder } from "./port.ts";
import { type StopOutcome, stopProcess } from "./stop.ts";

/** A process of a cluster of which there is one: its registry, its load balancer. */
export interface Service {
  /** For messages. */
  readonly name: string;
  /** The end of the name of its scope. */
  readonly unit: string;
  /** With which its start fails. */
  readonly failure: Launch["failure"];
  readonly configFile: string;
  readonly outFile: string;
  readonly pidFile: string;
}

/** How it is started. */
export interface ServiceStart {
  /** Which it is to listen on. */
  readonly port: number;
  /** The program, with its first arguments. */
  readonly command: readonly string[];
  /** Besides what every process of a cluster gets. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Writes its configuration. */
  readonly configure: () => Promise<void>;
}

const LOOPBACK = ["127.0.0.1", "::1"];
const OWNER_ONLY = 0o600;

/** Whether it runs. */
export const serviceState = ({ pidFile }: Service): WorkerState => stateOf(readPidFile(pidFile));

/** Ends it when what it does is done, or after `graceMs`; "was-gone" if it does not run. Its pid file is gone then. */
export const stopService = async (
  { pidFile }: Service,
  interrupt: AbortSignal,
  graceMs: number,
): Promise<StopOutcome> => {
  const recorded = readPidFile(pidFile);
  const outcome =
    recorded === undefined || recorded === "unreadable"
      ? "was-gone"
      : await stopProcess(recorded, graceMs, interrupt);
  removePidFile(pidFile);
  return outcome;
};

const assertPortFree = async (port: number): Promise<void> => {
  if (await isPortFree(LOOPBACK, port)) return;
  throw adminError(
    "OL_ADMIN_PORT_IN_USE",
    `port ${port} is in use by ${portHolder(port) ?? "another process"}; stop it, or take another with --port`,
  );
};

/** What a configuration file holds; undefined if there is none. */
export const readServiceFile = async (file: string): Promise<Record<string, unknown> | undefined> => {
  try {
    return await readJsonObject(file);
  } catch (error) {
    if (isOlError(error, "OL_CONFIG_NOT_FOUND")) return undefined;
    throw error;
  }
};

/**
 * Has its configuration written and starts it, in the background; settles with its URL. If that fails, the file is as it was, and
 * nothing runs. Fails with OL_ADMIN_PORT_IN_USE and the service's own code.
 */
export const startService = async (
  { identity }: Cluster,
  service: Service,
  start: ServiceStart,
  context: Context,
): Promise<string> => {
  await assertPortFree(start.port);
  const before = await readServiceFile(service.configFile);
  await start.configure();
  try {
    const scope = await findScope(`ol-${identity.id}-${service.unit}`, context.environment, context.signal);
    const { url } = await launchProcess({
      ...service,
      scope: scope.words,
      command: start.command,
      environment: { ...start.environment, ...scope.environment },
      signal: context.signal,
    });
    return url;
  } catch (error) {
    await restore(service, before, context);
    throw error;
  }
};

const restore = async (
  { name, configFile }: Service,
  before: Record<string, unknown> | undefined,
  { output }: Context,
): Promise<void> => {
  try {
    if (before === undefined) await rm(configFile, { force: true });
    else await writeJsonFile(configFile, before, OWNER_ONLY);
  } catch (error) {
    // Why it did not start matters more, and is thrown after this is said.
    output.message(`the configuration of the ${name} could not be restored: ${messageOf(error)}`);
  }
};
