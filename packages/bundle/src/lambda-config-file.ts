import { EMPTY_LAMBDA_CONFIG, type LambdaConfig, parseLambdaConfig } from "./lambda-config.ts";
import { readSmallFile } from "./small-file.ts";
import { MAX_YAML_BYTES } from "./yaml-source.ts";

/** The file in a lambda's directory that says how it wants to be run. */
export const LAMBDA_CONFIG_FILE = "ol.yaml";

/**
 * Reads DIRECTORY/ol.yaml; a lambda without one gets an empty configuration. Synchronous, since it is one
 * small file on the way of a cold start. Fails with OL_BUNDLE_BAD_CONFIG or OL_BUNDLE_UNREADABLE.
 */
export const readLambdaConfig = (directory: string): LambdaConfig => {
  const text = readSmallFile(directory, LAMBDA_CONFIG_FILE, MAX_YAML_BYTES, "OL_BUNDLE_BAD_CONFIG");
  return text === undefined ? EMPTY_LAMBDA_CONFIG : parseLambdaConfig(text, LAMBDA_CONFIG_FILE);
};
