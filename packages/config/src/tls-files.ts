import { readFile } from "node:fs/promises";
import { resolve } from "node:path";

import { systemReason, type TlsFiles } from "@ol/common";

import { configError } from "./errors.ts";
import { assertNoProblems } from "./validate.ts";

/** The paths of the two, as they are configured. */
export interface TlsPaths {
  readonly cert?: string;
  readonly key?: string;
}

const readPem = async (path: string, key: string): Promise<string> => {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw configError("OL_CONFIG_UNREADABLE", `${key}: ${path} cannot be read: ${systemReason(error)}`, {
      cause: error,
    });
  }
};

/**
 * Reads the two files that the configuration's key `name` has the paths of; undefined if there are none. Relative paths begin at
 * `root`. Fails with OL_CONFIG_UNREADABLE, and with OL_CONFIG_INVALID if there is only one of them.
 */
export const readTls = async (
  { cert, key }: TlsPaths,
  name: string,
  file: string,
  root: string,
): Promise<TlsFiles | undefined> => {
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) {
    assertNoProblems([`${name}: needs both cert and key`], file);
    return undefined;
  }
  const [certFile, keyFile] = [resolve(root, cert), resolve(root, key)];
  return {
    certFile,
    keyFile,
    cert: await readPem(certFile, `${name}.cert`),
    key: await readPem(keyFile, `${name}.key`),
  };
};
