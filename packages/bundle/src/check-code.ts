import { type Dirent, lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { bundleError } from "./errors.ts";
import { errnoOf, quoted, readFault } from "./fault.ts";
import type { LambdaConfig } from "./lambda-config.ts";
import { LAMBDA_CONFIG_FILE, readLambdaConfig } from "./lambda-config-file.ts";
import { readRequirements, type Requirements } from "./requirements-file.ts";

/** The files that a lambda's code begins with, if its ol.yaml names no other; the first that is there. */
export const ENTRY_FILES: readonly string[] = ["f.py", "lambda_func.py"];
/** The variable that names another one. */
export const ENTRY_VARIABLE = "OL_ENTRY_FILE";

/** What the files of a lambda's code say about it. */
export interface CheckedCode {
  /** The file that is run first. */
  readonly entry: string;
  readonly config: LambdaConfig;
  /** The packages that it names; undefined if there are none. */
  readonly requirements?: Requirements;
}

const isFile = (path: string): boolean => {
  try {
    return lstatSync(path).isFile();
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ENAMETOOLONG"].includes(errnoOf(error) ?? "")) return false;
    throw readFault(error, "");
  }
};

const noHandler = (message: string): Error => bundleError("OL_BUNDLE_NO_HANDLER", message);

const namedEntry = (directory: string, named: string): string => {
  const why = `${LAMBDA_CONFIG_FILE}: environment.${ENTRY_VARIABLE} names ${quoted(named)}`;
  // The runtime would take a path that leads elsewhere, and there it is nobody's code.
  if (named.startsWith("/") || named.split("/").includes(".."))
    throw noHandler(`${why}; it must be a file of the lambda's code`);
  if (!isFile(join(directory, named)))
    throw noHandler(`${why}, but there is no such file in the lambda's code`);
  return named;
};

const childrenOf = (directory: string): readonly Dirent[] => {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    throw readFault(error, "");
  }
};

/** Most often the directory was packed, and not what is in it. */
const adviceFor = (directory: string): string => {
  for (const child of childrenOf(directory).filter((entry) => entry.isDirectory()))
    for (const entry of ENTRY_FILES)
      if (isFile(join(directory, child.name, entry)) && /^[\w.][\w.-]*$/u.test(child.name))
        return `; ${entry} is in ${child.name}/: pack what is in it, with: tar -C ${child.name} -czf ${child.name}.tar.gz .`;
  return `; name another file by ${ENTRY_VARIABLE} in the environment of ${LAMBDA_CONFIG_FILE}`;
};

const entryOf = (directory: string, named: string | undefined): string => {
  if (named !== undefined && named !== "") return namedEntry(directory, named);
  const entry = ENTRY_FILES.find((file) => isFile(join(directory, file)));
  if (entry !== undefined) return entry;
  throw noHandler(`there is no ${ENTRY_FILES.join(" and no ")} in the lambda's code${adviceFor(directory)}`);
};

/**
 * Looks whether the code in a directory that nobody else writes can be a lambda: ol.yaml, then the file that it begins
 * with, then packages.txt or requirements.txt. The code itself is not loaded. Fails with OL_BUNDLE_BAD_CONFIG,
 * _NO_HANDLER, _BAD_REQUIREMENTS, _NOT_FOUND or _UNREADABLE.
 */
export const checkCode = async (directory: string): Promise<CheckedCode> => {
  const config = readLambdaConfig(directory);
  const entry = entryOf(directory, config.environment[ENTRY_VARIABLE]);
  const requirements = await readRequirements(directory);
  return { entry, config, ...(requirements !== undefined && { requirements }) };
};
