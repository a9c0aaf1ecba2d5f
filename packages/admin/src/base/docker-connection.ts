import { type DaemonAddress, daemonCandidates, daemonConnection, systemReason } from "@ol/common";
import type { Environment } from "@ol/config";
import Docker from "dockerode";

import { escapeControls } from "../text.ts";
import { baseFailure } from "./failure.ts";

/** A daemon that answered. */
export interface DockerConnection {
  readonly docker: Docker;
  /** Where it is, for messages: "unix:///var/run/docker.sock". */
  readonly place: string;
}

/** One that is there answers in milliseconds. */
const PING_MS = 10_000;

const connect = async (address: DaemonAddress, signal: AbortSignal): Promise<Docker> => {
  const docker = new Docker(daemonConnection(address));
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

const failureFor =
  (environment: Environment) =>
  (problem: string, cause?: unknown): Error => {
    const remote = (environment["DOCKER_HOST"] ?? "").startsWith("ssh:");
    const help = " (for ssh://, forward the socket: ssh -NL /tmp/docker.sock:/var/run/docker.sock HOST)";
    return baseFailure(`${problem}${remote ? help : ""}`, cause);
  };

/**
 * Finds a daemon with the API of Docker's, Podman's included: the one that DOCKER_HOST names, else the first that answers
 * at the usual sockets. Fails with OL_ADMIN_BASE, which says of each place why not.
 */
export const dockerFrom = async (
  environment: Environment,
  signal: AbortSignal,
): Promise<DockerConnection> => {
  const reasons: string[] = [];
  for (const { address } of await daemonCandidates({ environment }, failureFor(environment))) {
    try {
      return { docker: await connect(address, signal), place: address.url };
    } catch (error) {
      if (signal.aborted) throw baseFailure("the search for a Docker daemon was interrupted", error);
      reasons.push(`${address.url}: ${reasonOf(error)}`);
    }
  }
  throw baseFailure(
    `no Docker daemon answers (${reasons.join("; ")}); start one, or name one in DOCKER_HOST`,
  );
};
