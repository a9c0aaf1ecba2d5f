import { shown } from "../text.ts";
import { baseFailure } from "./failure.ts";

/**
 * Where an archive's entry belongs: the path below the base, without a slash at either end, "" for the base itself. As tar
 * does it, leading slashes count for nothing. Fails with OL_ADMIN_BASE if the name leads out.
 */
export const entryPath = (name: string): string => {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..") || name.includes("\0"))
    throw baseFailure(`the archive has an entry ${shown(name)}, whose name leads out of it`);
  return parts.join("/");
};

/** Every directory that `path` lies in, the outermost first; of "a/b/c" these are "a" and "a/b". */
export const parentsOf = (path: string): readonly string[] => {
  const parts = path.split("/");
  return parts.slice(1).map((_, at) => parts.slice(0, at + 1).join("/"));
};

// Of a running system: every sandbox has its own.
const SYSTEM_DIRECTORIES = new Set(["dev", "proc", "sys"]);

/** Whether it lies in a directory that every sandbox has its own of. */
export const isOfRunningSystem = (path: string): boolean => {
  const slash = path.indexOf("/");
  return slash > 0 && SYSTEM_DIRECTORIES.has(path.slice(0, slash));
};
