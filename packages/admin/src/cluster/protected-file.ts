import { chmod } from "node:fs/promises";

import { systemReason } from "@ol/common";
import { isSecretKey, writeJsonFile } from "@ol/config";

import { adminError, errnoOf } from "../errors.ts";

const OWNER_ONLY = 0o600;

const holdsSecrets = (value: Readonly<Record<string, unknown>>): boolean =>
  Object.keys(value).some((key) => isSecretKey(key));

/** Leaves a file to its owner alone; one that is not there is none. Fails with OL_ADMIN_FILE. */
export const protect = async (file: string): Promise<void> => {
  try {
    await chmod(file, OWNER_ONLY);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    throw adminError("OL_ADMIN_FILE", `cannot protect ${file}: ${systemReason(error)}`, { cause: error });
  }
};

/** Writes a configuration that may hold keys: if it does, nobody else can read it, from the first moment on. */
export const writeProtected = async (
  file: string,
  value: Readonly<Record<string, unknown>>,
): Promise<void> => {
  if (!holdsSecrets(value)) return writeJsonFile(file, value);
  await protect(file);
  return writeJsonFile(file, value, OWNER_ONLY);
};
