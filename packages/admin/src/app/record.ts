import { mkdirSync, readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";

import { isLambdaName } from "@ol/bundle";
import { isOlError, systemReason } from "@ol/common";
import { readJsonObject, writeJsonFile } from "@ol/config";

import type { ClusterPaths } from "../cluster/paths.ts";
import { adminError, errnoOf } from "../errors.ts";
import type { ProcessIdentity } from "../process/identity.ts";
import type { ProcessSession } from "../process/session.ts";

/** What a cluster knows of an application: enough to end all of it. */
export interface AppRecord {
  readonly name: string;
  /** Where it was read from. */
  readonly directory: string;
  /** Its lambdas in the registry. */
  readonly lambdas: readonly string[];
  /** What its setup.sh started, one entry for each time that left something running. */
  readonly services: readonly ProcessSession[];
}

const OWNER_ONLY = 0o600;

const fileOf = (paths: ClusterPaths, name: string): string => join(paths.apps, name, "app.json");

/** A directory for what an application's setup.sh wants to keep; only its owner gets in. */
export const stateDirectory = (paths: ClusterPaths, name: string): string => {
  const path = join(paths.apps, name, "state");
  mkdirSync(join(paths.apps, name), { recursive: true, mode: 0o755 });
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return path;
};

const isIdentity = (value: unknown): value is ProcessIdentity => {
  const { pid, startTime, bootId } = value as Partial<ProcessIdentity>;
  // 1 is init, and 0 would signal our own group.
  return (
    Number.isSafeInteger(pid) &&
    Number(pid) > 1 &&
    typeof startTime === "string" &&
    typeof bootId === "string"
  );
};

const isSession = (value: unknown): value is ProcessSession => {
  const { session, processes } = value as Partial<ProcessSession>;
  return (
    Number.isSafeInteger(session) &&
    Number(session) > 1 &&
    Array.isArray(processes) &&
    processes.every(isIdentity)
  );
};

const parse = (value: Record<string, unknown>, name: string, file: string): AppRecord => {
  const { directory, lambdas, services } = value;
  const sound =
    typeof directory === "string" &&
    Array.isArray(lambdas) &&
    lambdas.every((lambda) => typeof lambda === "string" && isLambdaName(lambda)) &&
    Array.isArray(services) &&
    services.every((service) => typeof service === "object" && service !== null && isSession(service));
  if (!sound)
    throw adminError(
      "OL_ADMIN_FILE",
      `${file} is not as ol-admin writes it; restore it, or end by hand what it names`,
    );
  return { name, directory, lambdas: lambdas as string[], services };
};

/** Undefined if the cluster does not know the application. */
export const readRecord = async (paths: ClusterPaths, name: string): Promise<AppRecord | undefined> => {
  const file = fileOf(paths, name);
  try {
    return parse(await readJsonObject(file), name, file);
  } catch (error) {
    if (isOlError(error, "OL_CONFIG_NOT_FOUND")) return undefined;
    throw error;
  }
};

export const writeRecord = async (paths: ClusterPaths, record: AppRecord): Promise<void> => {
  const { name, ...rest } = record;
  stateDirectory(paths, name);
  await writeJsonFile(fileOf(paths, name), rest, OWNER_ONLY);
};

/** Forgets an application, its state included. */
export const removeRecord = (paths: ClusterPaths, name: string): Promise<void> =>
  rm(join(paths.apps, name), { recursive: true, force: true });

/** Every application that the cluster knows. */
export const listRecords = async (paths: ClusterPaths): Promise<readonly AppRecord[]> => {
  let names: string[];
  try {
    names = readdirSync(paths.apps).sort();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw adminError("OL_ADMIN_FILE", `cannot read ${paths.apps}: ${systemReason(error)}`, { cause: error });
  }
  const records = await Promise.all(names.map((name) => readRecord(paths, name)));
  return records.filter((record) => record !== undefined);
};
