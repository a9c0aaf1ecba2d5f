// Runs commands as an ordinary user although we are root, whose Node, Pythons and repository may be out of others' reach.
import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const SCRIPT = fileURLToPath(new URL("reachable.sh", import.meta.url));
// No entry of /etc/passwd is needed for it, and none has it.
export const ORDINARY_UID = 54_321;

/** The outermost directory on the way to `path` that others may not enter; undefined if there is none. */
export const hiddenBy = (path, isOpen = (directory) => (statSync(directory).mode & 0o001) !== 0) => {
  const onTheWay = [];
  for (let at = path; at !== dirname(at); at = dirname(at)) onTheWay.unshift(at);
  return onTheWay.find((directory) => !isOpen(directory));
};

/** What to put before a command; `staging` is an empty directory that others may enter. */
export const asOrdinaryUser = (paths, staging) => {
  const covered = paths.filter((path) => hiddenBy(path) !== undefined);
  const hidden = [...new Set(covered.map((path) => hiddenBy(path)))];
  const prefix = ["unshare", "--mount", "--propagation", "private", "bash", SCRIPT];
  return [...prefix, String(ORDINARY_UID), join(staging, "mounts"), ...hidden, "--", ...covered, "--"];
};
