import { fileURLToPath } from "node:url";

import type { WorkerTemplate } from "./template.ts";
import { assertNoProblems } from "./validate.ts";

/** An S3 store that lambdas' code comes from. */
export interface RegistryStoreConfig {
  /** `http(s)://HOST:PORT`, without a path. */
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** A file with certificates in PEM. */
  readonly caFile?: string;
}

/** Where a worker's code comes from. */
export interface RegistryConfig {
  /** The local registry's directory; without meaning if there is a store. */
  readonly registryDir: string;
  /** Absent: the code is in `registryDir`. */
  readonly registryStore?: RegistryStoreConfig;
  readonly signatures: "off" | "warn" | "enforce";
  /** Files with public keys. */
  readonly trustedKeys: readonly string[];
  readonly bundleLimits: {
    readonly packedBytes: number;
    readonly unpackedBytes: number;
    readonly files: number;
  };
}

const MIB = 1024 * 1024;
const AWS = "https://s3.amazonaws.com";

/** The address that a store has, and the bucket if that is said with it. */
const addressOf = (
  registry: string,
  server: string | undefined,
): { readonly endpoint: string | undefined; readonly bucket?: string } => {
  const configured =
    server === undefined
      ? undefined
      : new URL(/^https?:\/\//u.test(server) ? server : `http://${server}`).origin;
  if (registry === "remote") return { endpoint: configured };
  const url = new URL(registry);
  if (url.protocol === "s3:") return { endpoint: configured ?? AWS, bucket: url.host };
  const bucket = url.pathname.replaceAll("/", "");
  return { endpoint: url.origin, ...(bucket !== "" && { bucket }) };
};

const storeOf = (
  template: WorkerTemplate,
  registry: string,
  at: (path: string) => string,
  where: string,
): RegistryStoreConfig => {
  const { registry_access_key: accessKey, registry_secret_key: secretKey, registry_ca: ca } = template;
  const { endpoint, bucket } = addressOf(registry, template.registry_server);
  const problems = [
    ...(endpoint === undefined
      ? [
          `registry_server: is missing; with registry ${JSON.stringify(registry)} it must be the store's address`,
        ]
      : []),
    ...(accessKey === undefined ? ["registry_access_key: is missing; the store wants keys"] : []),
    ...(secretKey === undefined ? ["registry_secret_key: is missing; the store wants keys"] : []),
  ];
  assertNoProblems(problems, where);
  return {
    endpoint: endpoint as string,
    bucket: bucket ?? template.registry_bucket ?? "registry",
    region: template.registry_region ?? "us-east-1",
    accessKey: accessKey as string,
    secretKey: secretKey as string,
    ...(ca !== undefined && { caFile: at(ca) }),
  };
};

/**
 * What a sound template says of the registry; `at` makes paths absolute. Fails with OL_CONFIG_INVALID if keys are missing that the
 * others ask for.
 */
export const registryOf = (
  template: WorkerTemplate,
  at: (path: string) => string,
  where: string,
): RegistryConfig => {
  const {
    registry = "local",
    signatures = "off",
    trusted_keys: keys = [],
    bundle_limits: limits = {},
  } = template;
  if (signatures !== "off" && keys.length === 0)
    assertNoProblems(
      [`trusted_keys: is missing; with signatures ${JSON.stringify(signatures)} it must name keys`],
      where,
    );
  const isDirectory = registry.startsWith("file:");
  return {
    registryDir: isDirectory ? fileURLToPath(registry) : at(template.registry_dir ?? "registry"),
    ...(registry !== "local" && !isDirectory && { registryStore: storeOf(template, registry, at, where) }),
    signatures,
    trustedKeys: keys.map((file) => at(file)),
    bundleLimits: {
      packedBytes: (limits.packed_mb ?? 100) * MIB,
      unpackedBytes: (limits.unpacked_mb ?? 250) * MIB,
      files: limits.files ?? 10_000,
    },
  };
};
