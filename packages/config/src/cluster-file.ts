import { createHash, randomInt } from "node:crypto";
import { join } from "node:path";

import { isOlError } from "@ol/common";

import { configError } from "./errors.ts";
import { readJsonObject } from "./json-file.ts";

/** config/cluster.json: who a cluster is. Written once, by `ol-admin new`, for its owner's eyes only. */
export interface ClusterIdentity {
  /** 8 of [a-z0-9], random: everything that the cluster makes outside its directory is named `ol-<id>-...`. */
  readonly id: string;
  /** 64 hexadecimal digits, random. */
  readonly token: string;
  /** What the cluster consists of. */
  readonly plan: { readonly workers: number };
}

const ID_LENGTH = 8;
const LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789";

/** A new random cluster id. */
export const newClusterId = (): string =>
  Array.from({ length: ID_LENGTH }, () => LETTERS[randomInt(LETTERS.length)]).join("");

/** The same id for the same directory: what a worker without a cluster calls itself. */
export const derivedClusterId = (directory: string): string =>
  [...createHash("sha256").update(directory).digest().subarray(0, ID_LENGTH)]
    .map((byte) => LETTERS[byte % LETTERS.length])
    .join("");

/**
 * Reads cluster.json in a cluster's config directory; undefined if there is none.
 * Fails with OL_CONFIG_UNREADABLE, _SYNTAX or _INVALID.
 */
export const readClusterIdentity = async (configDirectory: string): Promise<ClusterIdentity | undefined> => {
  const file = join(configDirectory, "cluster.json");
  let value: Record<string, unknown>;
  try {
    value = await readJsonObject(file);
  } catch (error) {
    if (isOlError(error, "OL_CONFIG_NOT_FOUND")) return undefined;
    throw error;
  }
  const { id, token, plan } = value;
  if (typeof id !== "string" || !/^[a-z0-9]{8}$/u.test(id))
    throw configError(
      "OL_CONFIG_INVALID",
      `${file}: id: must be 8 lower-case letters or digits; restore the file or make a new cluster`,
    );
  const workers: unknown =
    typeof plan === "object" && plan !== null && "workers" in plan ? plan.workers : undefined;
  return {
    id,
    token: typeof token === "string" ? token : "",
    plan: {
      workers: typeof workers === "number" && Number.isSafeInteger(workers) && workers > 0 ? workers : 1,
    },
  };
};
