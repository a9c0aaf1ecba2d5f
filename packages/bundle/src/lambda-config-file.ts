import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";

import { bundleError } from "./errors.ts";
import { errnoOf, readFault } from "./fault.ts";
import { EMPTY_LAMBDA_CONFIG, type LambdaConfig, parseLambdaConfig } from "./lambda-config.ts";
import { MAX_YAML_BYTES } from "./yaml-source.ts";

/** The file in a lambda's directory that says how it wants to be run. */
export const LAMBDA_CONFIG_FILE = "ol.yaml";

const badFile = (what: string): Error =>
  bundleError("OL_BUNDLE_BAD_CONFIG", `${LAMBDA_CONFIG_FILE}:1: ${what}`);

const decode = (data: Buffer): string => {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(data);
  } catch (error) {
    throw bundleError(
      "OL_BUNDLE_BAD_CONFIG",
      `${LAMBDA_CONFIG_FILE}:1: the file is not UTF-8 text; save it as UTF-8`,
      {
        cause: error,
      },
    );
  }
};

/**
 * Reads DIRECTORY/ol.yaml; a lambda without one gets an empty configuration. Synchronous, since it is one
 * small file on the way of a cold start. Fails with OL_BUNDLE_BAD_CONFIG or OL_BUNDLE_UNREADABLE.
 */
export const readLambdaConfig = (directory: string): LambdaConfig => {
  let fd: number;
  try {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    fd = openSync(join(directory, LAMBDA_CONFIG_FILE), flags);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return EMPTY_LAMBDA_CONFIG;
    if (errnoOf(error) === "ELOOP") throw badFile("is a symbolic link; copy the file instead");
    throw readFault(error, LAMBDA_CONFIG_FILE);
  }
  try {
    if (!fstatSync(fd).isFile()) throw badFile("is not a regular file");
    // One byte more than is allowed, so that the parser can say it is too large.
    const buffer = Buffer.alloc(MAX_YAML_BYTES + 1);
    let length = 0;
    for (let count = -1; count !== 0 && length < buffer.length; length += count)
      count = readSync(fd, buffer, length, buffer.length - length, null);
    return parseLambdaConfig(decode(buffer.subarray(0, length)), LAMBDA_CONFIG_FILE);
  } finally {
    closeSync(fd);
  }
};
