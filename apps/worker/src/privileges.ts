import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

import { configError, type WorkerIdentity } from "@ol/config";
import { systemReason } from "@ol/common";

/**
 * How somebody who is not root gets to what the worker needs later: as anybody, as a member of one more group, or not at all,
 * for which the reason is told.
 */
export type Reach =
  | { readonly kind: "any" }
  | { readonly kind: "group"; readonly gid: number }
  | { readonly kind: "none"; readonly why: string };

const ENTER = 0o1;
const READ_WRITE = 0o6;

/** How `identity` gets to a socket. */
export const reachOf = async (socket: string, { name, uid, gid }: WorkerIdentity): Promise<Reach> => {
  let group: number | undefined;
  for (const { path, wanted } of stepsTo(socket)) {
    const found = await stat(path);
    const of = (shift: number): boolean => ((found.mode >> shift) & wanted) === wanted;
    if (found.uid === uid ? of(6) : found.gid === gid ? of(3) : of(0)) continue;
    const asMember = found.uid !== uid && of(3) && (group === undefined || group === found.gid);
    // Root's group is no way: it opens far more than a socket.
    if (!asMember || found.gid === 0) return { kind: "none", why: `${name} has no access to ${path}` };
    group = found.gid;
  }
  return group === undefined ? { kind: "any" } : { kind: "group", gid: group };
};

/** The directories above a path, and the path itself. */
const stepsTo = (path: string): { readonly path: string; readonly wanted: number }[] => {
  const above: string[] = [];
  for (let at = dirname(path); ; at = dirname(at)) {
    above.unshift(at);
    if (dirname(at) === at) break;
  }
  return [...above.map((each) => ({ path: each, wanted: ENTER })), { path, wanted: READ_WRITE }];
};

/**
 * Makes this process `identity` for good: its group and no other, but for `extraGroup`, then the user. Everything that needs root has to
 * be open by then. Fails with OL_CONFIG_WORKER_USER if the user cannot read what a worker reads later, `needed` among it.
 */
export const giveUpRoot = async (
  identity: WorkerIdentity,
  needed: readonly string[],
  extraGroup?: number,
): Promise<void> => {
  const { name, uid, gid } = identity;
  process.setgroups?.(extraGroup === undefined ? [gid] : [gid, extraGroup]);
  process.setgid?.(gid);
  process.setuid?.(uid);
  if (process.getuid?.() !== uid || process.geteuid?.() !== uid)
    throw configError("OL_CONFIG_WORKER_USER", `the worker could not become ${name}`);
  // Parts of the installation are loaded only when they are needed.
  for (const path of [fileURLToPath(import.meta.url), ...needed])
    try {
      await access(path, constants.R_OK);
    } catch (error) {
      throw configError(
        "OL_CONFIG_WORKER_USER",
        `the worker runs as ${name}, who cannot read ${path} (${systemReason(error)}); let him, or set worker_user`,
        { cause: error },
      );
    }
};
