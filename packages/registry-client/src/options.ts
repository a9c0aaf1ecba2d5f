import { readFileSync } from "node:fs";

import { type Logger, silentLogger, systemReason } from "@ol/common";

import { registryClientError } from "./errors.ts";

/** How to reach an S3 store and what to use in it. */
export interface RegistryClientOptions {
  /** `http://HOST:PORT` or `https://HOST:PORT`, without a path. */
  readonly endpoint: URL;
  readonly bucket: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Default: `us-east-1`, which stores without regions take as well. */
  readonly region?: string;
  /** Certificates in PEM to trust besides those of the system; of `https` only. */
  readonly ca?: string;
  /** A file with them instead. */
  readonly caFile?: string;
  /** Whether the bucket is in the path rather than in the host name; AWS itself is always asked by host name. Default: true. */
  readonly pathStyle?: boolean;
  /** How long the store may be silent, and a small request may take, in ms. Default: 10,000. */
  readonly timeoutMs?: number;
  readonly logger?: Logger;
}

/** The options with everything that was left out. */
export interface Connection {
  readonly endpoint: URL;
  /** As in messages: scheme, host and port. */
  readonly address: string;
  readonly bucket: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region: string;
  readonly ca: string | undefined;
  readonly pathStyle: boolean;
  readonly timeoutMs: number;
  readonly logger: Logger;
}

const DEFAULT_TIMEOUT_MS = 10_000;
/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html, without its special cases. */
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/u;
const REGION = /^[A-Za-z0-9-]{1,64}$/u;
/** What can be sent in a header field. */
const ACCESS_KEY = /^[\u0021-\u007e]{1,256}$/u;
/** A line end comes from a file that it was taken from. */
const SECRET_KEY = /^\P{Cc}{1,1024}$/u;

const bad = (what: string): Error => registryClientError("OL_REGISTRY_CLIENT_BAD_OPTION", what);

const readCa = ({ ca, caFile }: RegistryClientOptions): string | undefined => {
  if (caFile === undefined) return ca;
  try {
    return readFileSync(caFile, "utf8");
  } catch (error) {
    throw registryClientError(
      "OL_REGISTRY_CLIENT_BAD_OPTION",
      `the registry's certificates in ${caFile} cannot be read: ${systemReason(error)}`,
      { cause: error },
    );
  }
};

const check = ({ endpoint, bucket, accessKey, secretKey, region }: RegistryClientOptions): void => {
  // Of the address nothing is shown that could be a password.
  if (endpoint.protocol !== "http:" && endpoint.protocol !== "https:")
    throw bad(`the registry's address begins with ${endpoint.protocol}//; it must be http:// or https://`);
  if (endpoint.username !== "" || endpoint.password !== "")
    throw bad("the registry's address holds a user or a password; keys have options of their own");
  if (endpoint.pathname !== "/" || endpoint.search !== "" || endpoint.hash !== "")
    throw bad(`the registry's address ${endpoint.origin} may have no path after host and port`);
  if (!BUCKET.test(bucket))
    throw bad(
      `${JSON.stringify(bucket.slice(0, 80))} is no bucket's name; it has 3 to 63 lower-case letters, digits, '.' and '-'`,
    );
  if (!ACCESS_KEY.test(accessKey))
    throw bad("the registry's access key is missing or has characters no key has");
  if (!SECRET_KEY.test(secretKey))
    throw bad("the registry's secret key is missing, or has a line end or the like in it");
  if (region !== undefined && !REGION.test(region))
    throw bad("the registry's region may have only letters, digits and '-'");
};

/** Checks the options and fills in what is missing; fails with OL_REGISTRY_CLIENT_BAD_OPTION. */
export const connectionOf = (options: RegistryClientOptions): Connection => {
  check(options);
  const { endpoint, bucket, accessKey, secretKey } = options;
  return {
    endpoint,
    address: endpoint.origin,
    bucket,
    accessKey,
    secretKey,
    region: options.region ?? "us-east-1",
    ca: readCa(options),
    pathStyle: options.pathStyle ?? true,
    timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    logger: options.logger ?? silentLogger,
  };
};
