import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { systemReason } from "./system-reason.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Where a daemon with the API of Docker's is, Podman's included. */
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
  /** DOCKER_HOST, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH, XDG_RUNTIME_DIR and HOME of it count; default: none is set. */
  readonly environment?: Environment;
}

/** An address to be tried, and who named it. */
export interface DaemonCandidate {
  /** `docker.host`, `DOCKER_HOST` or `usual place`. */
  readonly from: string;
  readonly address: DaemonAddress;
}

/** How to say that what is known cannot be used: a whole sentence, without a full stop. */
export type DaemonFailure = (problem: string, cause?: unknown) => Error;

const PORT = "2375";
const TLS_PORT = "2376";

/** Where daemons listen if nobody says so: Docker's for the machine and for one user, then Podman's. */
const usualSockets = ({ XDG_RUNTIME_DIR: runtime, HOME: home }: Environment): readonly string[] => [
  "/var/run/docker.sock",
  ...(runtime === undefined ? [] : [join(runtime, "docker.sock")]),
  ...(home === undefined
    ? []
    : [join(home, ".docker/run/docker.sock"), join(home, ".docker/desktop/docker.sock")]),
  "/run/podman/podman.sock",
  ...(runtime === undefined ? [] : [join(runtime, "podman/podman.sock")]),
];

/**
 * The addresses to be tried, in this order. One that is named, by configuration or environment, is the only one. What cannot
 * be used fails with the error that `fail` makes.
 */
export const daemonCandidates = async (
  place: DaemonPlace,
  fail: DaemonFailure,
): Promise<readonly DaemonCandidate[]> => {
  const environment = place.environment ?? {};
  const named: readonly (readonly [string, string | undefined])[] = [
    ["docker.host", place.host],
    ["DOCKER_HOST", environment["DOCKER_HOST"]],
  ];
  for (const [from, url] of named)
    if (url !== undefined && url !== "") return [{ from, address: await addressOf(from, url, place, fail) }];
  return usualSockets(environment).map((socketPath) => ({
    from: "usual place",
    address: { url: `unix://${socketPath}`, socketPath },
  }));
};

const socketPathOf = (url: string): string | undefined => {
  if (url.startsWith("/")) return url;
  return /^unix:\/\/\/./u.test(url) ? url.slice("unix://".length) : undefined;
};

const addressOf = async (
  from: string,
  url: string,
  place: DaemonPlace,
  fail: DaemonFailure,
): Promise<DaemonAddress> => {
  const socketPath = socketPathOf(url);
  if (socketPath !== undefined) return { url: `unix://${socketPath}`, socketPath };
  const [, protocol, rest] = /^(tcp|http|https):\/\/([^/]+)\/?$/u.exec(url) ?? [];
  // Of http://HOST:80 a URL would forget the port.
  const plain = `tcp://${rest}`;
  if (protocol === undefined || !URL.canParse(plain))
    throw fail(
      `${from} is ${JSON.stringify(url)}, and must be a unix socket such as unix:///var/run/docker.sock, or tcp://HOST:PORT`,
    );
  const parsed = new URL(plain);
  const certPath = certPathOf(place, protocol === "https", fail);
  const port = parsed.port === "" ? (certPath === undefined ? PORT : TLS_PORT) : parsed.port;
  const target = `tcp://${parsed.hostname}:${port}`;
  return certPath === undefined ? { url: target } : { url: target, tls: await readKeys(certPath, fail) };
};

const certPathOf = (
  { host, certPath, environment = {} }: DaemonPlace,
  always: boolean,
  fail: DaemonFailure,
): string | undefined => {
  if (certPath !== undefined) return certPath;
  const verify = environment["DOCKER_TLS_VERIFY"];
  // What the environment says of TLS belongs to the daemon that it names.
  if (!always && (host !== undefined || verify === undefined || verify === "")) return undefined;
  const path =
    environment["DOCKER_CERT_PATH"] ?? (environment["HOME"] && join(environment["HOME"], ".docker"));
  if (path === undefined || path === "")
    throw fail(
      "TLS is wanted for the container daemon, but no directory with certificates is named; set DOCKER_CERT_PATH, or docker.cert_path of a worker",
    );
  return path;
};

const readKeys = async (
  directory: string,
  fail: DaemonFailure,
): Promise<NonNullable<DaemonAddress["tls"]>> => {
  const read = async (name: string): Promise<Buffer> => {
    const file = join(directory, name);
    try {
      return await readFile(file);
    } catch (error) {
      throw fail(
        `${file} cannot be read: ${systemReason(error)}; TLS with the container daemon needs ca.pem, cert.pem and key.pem there`,
        error,
      );
    }
  };
  const [ca, cert, key] = await Promise.all([read("ca.pem"), read("cert.pem"), read("key.pem")]);
  return { ca, cert, key };
};

/** What a client such as dockerode is to connect to. */
export interface DaemonConnection {
  readonly socketPath: string | undefined;
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly protocol: "http" | "https" | undefined;
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
}

/** Every field is given: what is not, dockerode takes from its process's environment. */
export const daemonConnection = ({ url, socketPath, tls }: DaemonAddress): DaemonConnection => {
  const keys = { ca: tls?.ca, cert: tls?.cert, key: tls?.key };
  if (socketPath !== undefined)
    return { socketPath, host: undefined, port: undefined, protocol: undefined, ...keys };
  const { hostname, port } = new URL(url);
  return {
    socketPath: undefined,
    host: hostname.replaceAll(/^\[|\]$/gu, ""),
    port: Number(port),
    protocol: tls === undefined ? "http" : "https",
    ...keys,
  };
};
