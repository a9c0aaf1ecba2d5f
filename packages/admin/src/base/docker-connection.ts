import { readFileSync } from "node:fs";
import { join } from "node:path";

import { isOlError, systemReason } from "@ol/common";
import type { Environment } from "@ol/config";
import Docker, { type DockerOptions } from "dockerode";

import { escapeControls, shown } from "../text.ts";
import { baseFailure } from "./failure.ts";

/** A daemon that answered. */
export interface DockerConnection {
  readonly docker: Docker;
  /** Where it is, for messages: "unix:///var/run/docker.sock". */
  readonly place: string;
}

/** One that is there answers in milliseconds. */
const PING_MS = 10_000;
const DEFAULT_PORT = 2375;
const DEFAULT_TLS_PORT = 2376;

// Every field is given: what is not, dockerode takes from this process's environment.
const NOTHING = {
  socketPath: undefined,
  host: undefined,
  port: undefined,
  protocol: undefined,
  ca: undefined,
  cert: undefined,
  key: undefined,
} satisfies DockerOptions;

/** Where daemons listen if nobody says so: Docker's for the machine and for one user, then Podman's. */
export const usualSockets = (environment: Environment): readonly string[] => {
  const { XDG_RUNTIME_DIR: runtime, HOME: home } = environment;
  return [
    "/var/run/docker.sock",
    ...(runtime === undefined ? [] : [join(runtime, "docker.sock")]),
    ...(home === undefined
      ? []
      : [join(home, ".docker/run/docker.sock"), join(home, ".docker/desktop/docker.sock")]),
    "/run/podman/podman.sock",
    ...(runtime === undefined ? [] : [join(runtime, "podman/podman.sock")]),
  ];
};

const readCertificates = (directory: string): Pick<DockerOptions, "ca" | "cert" | "key"> => {
  const read = (name: string): Buffer => {
    try {
      return readFileSync(join(directory, name));
    } catch (error) {
      throw baseFailure(
        `DOCKER_CERT_PATH=${shown(directory)}: ${name} cannot be read: ${systemReason(error)}`,
        error,
      );
    }
  };
  return { ca: read("ca.pem"), cert: read("cert.pem"), key: read("key.pem") };
};

const badHost = (value: string): Error =>
  baseFailure(
    `DOCKER_HOST=${shown(value)} is no address of a daemon; it must be like unix:///var/run/docker.sock or tcp://HOST:PORT (for ssh://, forward the socket: ssh -NL /tmp/docker.sock:/var/run/docker.sock HOST)`,
  );

/**
 * What DOCKER_HOST means, with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, as for the command `docker`.
 * Fails with OL_ADMIN_BASE.
 */
export const optionsOf = (host: string, environment: Environment): DockerOptions => {
  if (/^unix:\/\/\/./u.test(host)) return { ...NOTHING, socketPath: host.slice("unix://".length) };
  const url = host.replace(/^tcp:/u, "http:");
  if (!/^https?:\/\//u.test(url) || !URL.canParse(url)) throw badHost(host);
  const { hostname, port, protocol } = new URL(url);
  const verify = environment["DOCKER_TLS_VERIFY"] ?? "";
  const tls = verify !== "" || protocol === "https:";
  const directory = environment["DOCKER_CERT_PATH"] ?? "";
  return {
    ...NOTHING,
    host: hostname.replaceAll(/^\[|\]$/gu, ""),
    port: port === "" ? (tls ? DEFAULT_TLS_PORT : DEFAULT_PORT) : Number(port),
    protocol: tls ? "https" : "http",
    ...(tls && directory !== "" ? readCertificates(directory) : {}),
  };
};

const connect = async (options: DockerOptions, signal: AbortSignal): Promise<Docker> => {
  const docker = new Docker(options);
  await docker.listContainers({
    limit: 1,
    abortSignal: AbortSignal.any([signal, AbortSignal.timeout(PING_MS)]),
  });
  return docker;
};

const reasonOf = (error: unknown): string =>
  (error as Error).name === "TimeoutError" || (error as { code?: unknown }).code === "ABORT_ERR"
    ? "it does not answer"
    : escapeControls(systemReason(error)).trim();

/**
 * Finds a daemon with the API of Docker's, Podman's included: the one that DOCKER_HOST names, else the first that answers
 * at the usual sockets. Fails with OL_ADMIN_BASE, which says of each place why not.
 */
export const dockerFrom = async (
  environment: Environment,
  signal: AbortSignal,
): Promise<DockerConnection> => {
  const named = environment["DOCKER_HOST"] ?? "";
  const places = named === "" ? usualSockets(environment).map((path) => `unix://${path}`) : [named];
  const reasons: string[] = [];
  for (const place of places) {
    try {
      return { docker: await connect(optionsOf(place, environment), signal), place };
    } catch (error) {
      if (isOlError(error)) throw error;
      if (signal.aborted) throw baseFailure("the search for a Docker daemon was interrupted", error);
      reasons.push(`${place}: ${reasonOf(error)}`);
    }
  }
  throw baseFailure(
    `no Docker daemon answers (${reasons.join("; ")}); start one, or name one in DOCKER_HOST`,
  );
};
