import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { systemReason } from "@ol/common";

import { sandboxError } from "../errors.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Where a daemon is. */
export interface DaemonAddress {
  /** "unix:///var/run/docker.sock", "tcp://127.0.0.1:2376". */
  readonly url: string;
  /** Of a unix socket. */
  readonly socketPath?: string;
  /** PEM; there if it is spoken to by TLS, each side with a certificate. */
  readonly tls?: { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer };
}

/** What is known of where the daemon is. */
export interface DaemonPlace {
  /** Its address, as configured: it decides. Default: DOCKER_HOST of `environment`, else the usual sockets. */
  readonly host?: string;
  /** Directory with ca.pem, cert.pem and key.pem; a tcp:// host is then spoken to by TLS. Default: what `environment` says. */
  readonly certPath?: string;
  /** DOCKER_HOST, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH and XDG_RUNTIME_DIR of it count; default: none is set. */
  readonly environment?: Environment;
}

/** An address to be tried, and who named it. */
export interface Candidate {
  readonly from: string;
  readonly address: DaemonAddress;
}

/**
 * The addresses to be tried, in this order. One that is named, by configuration or environment, is the only one. Fails with
 * OL_SANDBOX_BAD_OPTIONS for one that cannot be used.
 */
export const candidates = async (place: DaemonPlace): Promise<readonly Candidate[]> => {
  const environment = place.environment ?? {};
  const named: readonly (readonly [string, string | undefined])[] = [
    ["docker.host", place.host],
    ["DOCKER_HOST", environment["DOCKER_HOST"]],
  ];
  for (const [from, url] of named)
    if (url !== undefined && url !== "") return [{ from, address: await addressOf(from, url, place) }];
  const runtime = environment["XDG_RUNTIME_DIR"];
  const sockets = [
    "/var/run/docker.sock",
    ...(runtime === undefined ? [] : [join(runtime, "docker.sock")]),
    "/run/podman/podman.sock",
    ...(runtime === undefined ? [] : [join(runtime, "podman/podman.sock")]),
  ];
  return sockets.map((socketPath) => ({
    from: "usual place",
    address: { url: `unix://${socketPath}`, socketPath },
  }));
};

const addressOf = async (from: string, url: string, place: DaemonPlace): Promise<DaemonAddress> => {
  const socketPath = url.startsWith("unix://")
    ? url.slice("unix://".length)
    : url.startsWith("/")
      ? url
      : undefined;
  if (socketPath !== undefined) return { url: `unix://${socketPath}`, socketPath };
  const parsed =
    /^(?:tcp|http|https):\/\/[^/]+\/?$/u.test(url) && URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined)
    throw sandboxError(
      "OL_SANDBOX_BAD_OPTIONS",
      `${from} is ${JSON.stringify(url)}, and must be a unix socket such as unix:///var/run/docker.sock, or tcp://HOST:PORT of a daemon on this machine; ssh:// cannot be used, since containers get directories of this machine`,
    );
  const certPath = certPathOf(place, parsed.protocol === "https:");
  const port = parsed.port === "" ? (certPath === undefined ? "2375" : "2376") : parsed.port;
  const target = `tcp://${parsed.hostname}:${port}`;
  return certPath === undefined ? { url: target } : { url: target, tls: await readKeys(certPath) };
};

const certPathOf = (
  { host, certPath, environment = {} }: DaemonPlace,
  always: boolean,
): string | undefined => {
  if (certPath !== undefined) return certPath;
  const verify = environment["DOCKER_TLS_VERIFY"];
  // What the environment says of TLS belongs to the daemon that it names.
  if (!always && (host !== undefined || verify === undefined || verify === "")) return undefined;
  const path =
    environment["DOCKER_CERT_PATH"] ?? (environment["HOME"] && join(environment["HOME"], ".docker"));
  if (path === undefined || path === "")
    throw sandboxError(
      "OL_SANDBOX_BAD_OPTIONS",
      "TLS is wanted for the container daemon, but no directory with certificates is named; set docker.cert_path or DOCKER_CERT_PATH",
    );
  return path;
};

const readKeys = async (directory: string): Promise<NonNullable<DaemonAddress["tls"]>> => {
  const read = async (name: string): Promise<Buffer> => {
    const file = join(directory, name);
    try {
      return await readFile(file);
    } catch (error) {
      throw sandboxError(
        "OL_SANDBOX_BAD_OPTIONS",
        `${file} cannot be read (${systemReason(error)}); TLS with the container daemon needs ca.pem, cert.pem and key.pem there`,
        { cause: error },
      );
    }
  };
  const [ca, cert, key] = await Promise.all([read("ca.pem"), read("cert.pem"), read("key.pem")]);
  return { ca, cert, key };
};
