import { stat } from "node:fs/promises";
import { resolve } from "node:path";

import type { TlsFiles } from "@ol/common";

import { type Environment, valuesFromEnvironment } from "./environment.ts";
import { readJsonObject } from "./json-file.ts";
import { addressesOf, isLoopback } from "./listen-address.ts";
import { merged } from "./merge.ts";
import { placeOf } from "./place.ts";
import { REGISTRY_SCHEMA } from "./registry-schema.ts";
import { readTls, type TlsPaths } from "./tls-files.ts";
import { assertNoProblems, problemsIn } from "./validate.ts";

/** A pair of keys, and what it may do. */
export interface RegistryKeyPair {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly role: "admin" | "upload" | "read";
}

/** The registry's configuration with every default filled in. Paths are absolute. */
export interface RegistryConfig {
  /** The file it came from. */
  readonly file: string;
  readonly dataDir: string;
  /** As configured; for messages. */
  readonly url: string;
  /** What to listen on. */
  readonly addresses: readonly string[];
  /** 0 is any free port. */
  readonly port: number;
  readonly tls?: TlsFiles;
  readonly keys: readonly RegistryKeyPair[];
  readonly region: string;
  readonly bucket: string;
  readonly limits: { readonly objectMb: number; readonly idleSec: number };
  /** 0 is never. */
  readonly scrubHours: number;
  readonly pages: "loopback" | "all" | "none";
  /** "" is standard output, "stderr" standard error, anything else an absolute path. */
  readonly logOutput: string;
  /** One sentence each, to be logged at start. */
  readonly warnings: readonly string[];
}

/** What registry.json holds, after it has been validated. */
interface RegistryFile {
  readonly registry_data_dir?: string;
  readonly registry_url?: string;
  readonly registry_port?: number | string;
  readonly registry_tls?: TlsPaths;
  readonly registry_keys?: readonly {
    readonly access_key: string;
    readonly secret_key: string;
    readonly role: RegistryKeyPair["role"];
  }[];
  readonly registry_region?: string;
  readonly registry_bucket?: string;
  readonly registry_limits?: { readonly object_mb?: number; readonly idle_sec?: number };
  readonly registry_scrub_hours?: number;
  readonly registry_pages?: RegistryConfig["pages"];
  readonly log_output?: string;
}

/** The bits by which others than its owner read a file. */
const READ_BY_OTHERS = 0o044;

const problemsOf = ({ registry_keys: keys = [] }: RegistryFile): readonly string[] => {
  if (keys.length === 0) return ["registry_keys: is missing: without a pair of keys nobody can do anything"];
  const names = keys.map(({ access_key }) => access_key);
  return new Set(names).size < names.length ? ["registry_keys: has the same access_key twice"] : [];
};

const warningsOf = async (
  { addresses, tls, url }: Pick<RegistryConfig, "addresses" | "tls" | "url">,
  file: string,
  hasKeys: boolean,
): Promise<readonly string[]> => {
  const open = hasKeys && ((await stat(file)).mode & READ_BY_OTHERS) !== 0;
  return [
    ...(tls !== undefined || addresses.every((address) => isLoopback(address))
      ? []
      : [
          `registry_url is ${JSON.stringify(url)} and there is no registry_tls: whoever is on the way can read what is up- and downloaded`,
        ]),
    ...(open ? [`${file} has secret keys in it, and others can read it; chmod 600 it`] : []),
  ];
};

/**
 * Reads the registry's configuration: defaults, over them the file, over that OL_<KEY> variables of the environment. In a cluster
 * (config/cluster.json beside the file) relative paths begin at the cluster directory, else at the file's. Fails with
 * OL_CONFIG_NOT_FOUND, _UNREADABLE, _SYNTAX or _INVALID.
 */
export const loadRegistryConfig = async (
  file: string,
  environment: Environment = {},
): Promise<RegistryConfig> => {
  const fromFile = await readJsonObject(file);
  assertNoProblems(problemsIn(fromFile, REGISTRY_SCHEMA), file);
  const values = merged(fromFile, valuesFromEnvironment(environment, REGISTRY_SCHEMA)) as RegistryFile;
  assertNoProblems(problemsOf(values), file);
  const { root } = await placeOf(file);
  const url = values.registry_url ?? "localhost";
  const addresses = addressesOf(url);
  const tls = await readTls(values.registry_tls ?? {}, "registry_tls", file, root);
  const output = values.log_output ?? "";
  const keys = values.registry_keys ?? [];
  return {
    file: resolve(file),
    dataDir: resolve(root, values.registry_data_dir ?? "registry-data"),
    url,
    addresses,
    port: Number(values.registry_port ?? 9000),
    ...(tls !== undefined && { tls }),
    keys: keys.map(({ access_key, secret_key, role }) => ({
      accessKey: access_key,
      secretKey: secret_key,
      role,
    })),
    region: values.registry_region ?? "us-east-1",
    bucket: values.registry_bucket ?? "registry",
    limits: {
      objectMb: values.registry_limits?.object_mb ?? 5120,
      idleSec: values.registry_limits?.idle_sec ?? 60,
    },
    scrubHours: values.registry_scrub_hours ?? 168,
    pages: values.registry_pages ?? "loopback",
    logOutput: output === "" || output === "stderr" ? output : resolve(root, output),
    warnings: await warningsOf(
      { addresses, url, ...(tls !== undefined && { tls }) },
      file,
      "registry_keys" in fromFile,
    ),
  };
};
