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
export interface CodeRegistryConfig {
  /** The local registry's directory; without meaning if there is a store. */
  readonly registryDir: string;
  /** Absent: the code is in `registryDir`. */
  readonly registryStore?: RegistryStoreConfig;
  readonly signatures: "off" | "warn" | "enforce";
  /** Files with public keys. */
  readonly trustedKeys: readonly string[];
  readonly bundleLimits: BundleLimitsConfig;
}

/** What a packed bundle may be. */
export interface BundleLimitsConfig {
  readonly packedBytes: number;
  readonly unpackedBytes: number;
  readonly files: number;
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

/** Where an S3 store is, as far as that is said; keys are another matter. */
export interface StorePlace extends Omit<RegistryStoreConfig, "endpoint" | "accessKey" | "secretKey"> {
  readonly endpoint: string | undefined;
}

/** Where the code is, by a sound template: a directory, or a store. `at` makes paths absolute. */
export const codePlaceOf = (
  template: WorkerTemplate,
  at: (path: string) => string,
): { readonly directory: string } | { readonly store: StorePlace } => {
  const { registry = "local", registry_ca: ca } = template;
  if (registry === "local") return { directory: at(template.registry_dir ?? "registry") };
  if (registry.startsWith("file:")) return { directory: fileURLToPath(registry) };
  const { endpoint, bucket } = addressOf(registry, template.registry_server);
  return {
    store: {
      endpoint,
      bucket: bucket ?? template.registry_bucket ?? "registry",
      region: template.registry_region ?? "us-east-1",
      ...(ca !== undefined && { caFile: at(ca) }),
    },
  };
};

/** What a sound template says of packed bundles. */
export const bundleLimitsOf = ({ bundle_limits: limits = {} }: WorkerTemplate): BundleLimitsConfig => ({
  packedBytes: (limits.packed_mb ?? 100) * MIB,
  unpackedBytes: (limits.unpacked_mb ?? 250) * MIB,
  files: limits.files ?? 10_000,
});

const storeOf = (template: WorkerTemplate, place: StorePlace, where: string): RegistryStoreConfig => {
  const { registry, registry_access_key: accessKey, registry_secret_key: secretKey } = template;
  const { endpoint, ...rest } = place;
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
    ...rest,
    endpoint: endpoint as string,
    accessKey: accessKey as string,
    secretKey: secretKey as string,
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
): CodeRegistryConfig => {
  const { signatures = "off", trusted_keys: keys = [] } = template;
  if (signatures !== "off" && keys.length === 0)
    assertNoProblems(
      [`trusted_keys: is missing; with signatures ${JSON.stringify(signatures)} it must name keys`],
      where,
    );
  const place = codePlaceOf(template, at);
  return {
    registryDir: "directory" in place ? place.directory : at(template.registry_dir ?? "registry"),
    ...("store" in place && { registryStore: storeOf(template, place.store, where) }),
    signatures,
    trustedKeys: keys.map((file) => at(file)),
    bundleLimits: bundleLimitsOf(template),
  };
};
