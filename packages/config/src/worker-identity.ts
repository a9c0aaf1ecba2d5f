import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";

import { messageOf } from "@ol/common";

import { configError } from "./errors.ts";
import type { WorkerConfig } from "./worker-config.ts";

/** A user, with the group that he has first of all. */
export interface WorkerIdentity {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

const LOOKUP_MS = 10_000;
// Where the system's own programs are, whatever a worker's PATH says.
const SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin";
const ALL_IDS = 2 ** 32 - 1;

/**
 * Whether a process is the machine's root: uid 0 with every id to its name. Root of a user namespace (a rootless
 * container's, say) is an ordinary user to the machine. `uidMap` is the text of /proc/self/uid_map.
 */
export const isMachineRoot = (uid: number, uidMap: string): boolean =>
  uid === 0 && uidMap.trim().split(/\s+/u).join(" ") === `0 0 ${ALL_IDS}`;

/** One line of the user database, or undefined. */
const lookUp = async (user: string): Promise<WorkerIdentity | undefined> => {
  let text: string;
  try {
    const options = { timeout: LOOKUP_MS, env: { PATH: SYSTEM_PATH } };
    text = (await promisify(execFile)("getent", ["passwd", user], options)).stdout;
  } catch (error) {
    // What getent answers when there is no such user.
    if ((error as { code?: unknown }).code === 2) return undefined;
    throw configError("OL_CONFIG_WORKER_USER", `user ${user} cannot be looked up: ${messageOf(error)}`, {
      cause: error,
    });
  }
  const [name = "", , uid = "", gid = ""] = text.split("\n", 1)[0]?.split(":") ?? [];
  return { name, uid: Number(uid), gid: Number(gid) };
};

const ownerOf = async (directory: string): Promise<WorkerIdentity> => {
  const { uid, gid } = await stat(directory);
  // A number without a name, as in a container that shares a directory with its host, is a user all the same.
  return (await lookUp(String(uid))) ?? { name: String(uid), uid, gid };
};

/**
 * Whom a worker of this configuration, started by root, becomes: `worker_user`, else the owner of the cluster
 * directory (of the file's, where there is no cluster). Fails with OL_CONFIG_WORKER_USER.
 */
export const workerIdentity = async (
  config: Pick<WorkerConfig, "workerUser" | "clusterDir" | "file">,
): Promise<WorkerIdentity> => {
  const { workerUser } = config;
  if (workerUser === undefined) return ownerOf(config.clusterDir ?? dirname(config.file));
  const found = await lookUp(workerUser);
  if (found === undefined)
    throw configError(
      "OL_CONFIG_WORKER_USER",
      `worker_user is ${JSON.stringify(workerUser)}, and there is no such user; make it, or name another`,
    );
  return found;
};

/** Whom this process is to become, if it is the machine's root and that is somebody else; fails as `workerIdentity`. */
export const identityToBecome = async (
  config: Pick<WorkerConfig, "workerUser" | "clusterDir" | "file">,
): Promise<WorkerIdentity | undefined> => {
  const uid = process.getuid?.() ?? -1;
  if (!isMachineRoot(uid, readFileSync("/proc/self/uid_map", "utf8"))) return undefined;
  const identity = await workerIdentity(config);
  return identity.uid === 0 ? undefined : identity;
};
