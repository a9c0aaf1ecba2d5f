import { randomBytes } from "node:crypto";

import { isOlError } from "@ol/common";
import { readJsonObject, writeJsonFile } from "@ol/config";

import type { ClusterPaths } from "../cluster/paths.ts";
import { urlOf } from "../worker/address.ts";

/** A pair of keys; who has both may do what their role says. */
export interface RegistryKeys {
  readonly accessKey: string;
  readonly secretKey: string;
}

/** The registry that a cluster has of its own, as its config/registry.json says. */
export interface RegistryPlan {
  readonly port: number;
  readonly bucket: string;
  /** Where it is reached from this machine. */
  readonly url: string;
  /** May do everything: for who uploads. */
  readonly admin: RegistryKeys | undefined;
  /** May only read: for the workers. */
  readonly reader: RegistryKeys | undefined;
}

export const DEFAULT_REGISTRY_PORT = 9000;
export const DEFAULT_BUCKET = "registry";
const OWNER_ONLY = 0o600;
const DEFAULT_ADDRESS = "localhost";

/** New keys: nobody has to remember them. */
export const newKeys = (): RegistryKeys => ({
  accessKey: `ol${randomBytes(9).toString("hex")}`,
  secretKey: randomBytes(30).toString("base64url"),
});

type Fields = Readonly<Record<string, unknown>>;

const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

/** The first pair of that role; what is wrong in the file, the registry itself says when it starts. */
const keysOf = (file: Fields, role: string): RegistryKeys | undefined => {
  const pairs: readonly unknown[] = Array.isArray(file["registry_keys"]) ? file["registry_keys"] : [];
  for (const pair of pairs) {
    const { access_key: accessKey, secret_key: secretKey, role: its } = (pair ?? {}) as Fields;
    if (its === role && typeof accessKey === "string" && typeof secretKey === "string")
      return { accessKey, secretKey };
  }
  return undefined;
};

const read = async (paths: ClusterPaths): Promise<Fields | undefined> => {
  try {
    return await readJsonObject(paths.registryConfig);
  } catch (error) {
    if (isOlError(error, "OL_CONFIG_NOT_FOUND")) return undefined;
    throw error;
  }
};

/** Undefined if the cluster has no registry of its own. Fails as @ol/config's readers of files do. */
export const readRegistryPlan = async (paths: ClusterPaths): Promise<RegistryPlan | undefined> => {
  const file = await read(paths);
  if (file === undefined) return undefined;
  const port = Number(file["registry_port"] ?? DEFAULT_REGISTRY_PORT);
  const plain = urlOf(text(file["registry_url"]) ?? DEFAULT_ADDRESS, port);
  return {
    port,
    bucket: text(file["registry_bucket"]) ?? DEFAULT_BUCKET,
    url: file["registry_tls"] === undefined ? plain : plain.replace(/^http:/u, "https:"),
    admin: keysOf(file, "admin"),
    reader: keysOf(file, "read"),
  };
};

/** What `ol-admin registry` and `new --registry` decide; the rest of the file is whoever runs the cluster's. */
export interface PlannedRegistry {
  readonly port: number;
  readonly admin: RegistryKeys;
  readonly reader: RegistryKeys;
}

const entry = ({ accessKey, secretKey }: RegistryKeys, role: string): Fields => ({
  access_key: accessKey,
  secret_key: secretKey,
  role,
});

/** Writes config/registry.json, for its owner only; what else is in it stays, other keys of other roles too. */
export const writeRegistryPlan = async (paths: ClusterPaths, planned: PlannedRegistry): Promise<void> => {
  const file = (await read(paths)) ?? {};
  const others = (Array.isArray(file["registry_keys"]) ? (file["registry_keys"] as unknown[]) : []).filter(
    (pair) => !["admin", "read"].includes(String((pair as Fields | null)?.["role"])),
  );
  const registry_keys = [entry(planned.admin, "admin"), entry(planned.reader, "read"), ...others];
  await writeJsonFile(
    paths.registryConfig,
    { ...file, registry_port: planned.port, registry_keys },
    OWNER_ONLY,
  );
};

/** What a template says of that registry. */
export const templateFor = (plan: Pick<RegistryPlan, "url" | "bucket">, reader: RegistryKeys): Fields => ({
  registry: "remote",
  registry_server: plan.url,
  registry_bucket: plan.bucket,
  registry_access_key: reader.accessKey,
  registry_secret_key: reader.secretKey,
});
