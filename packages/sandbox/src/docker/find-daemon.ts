import { daemonCandidates, type DaemonFailure, type DaemonPlace, messageOf } from "@ol/common";

import { sandboxError } from "../errors.ts";
import { type ContainerDaemon, type DaemonInfo, DaemonRefusal } from "./daemon.ts";
import { DockerodeDaemon } from "./dockerode-daemon.ts";

/** A daemon that answers, and what it says of itself. */
export interface FoundDaemon {
  readonly daemon: ContainerDaemon;
  readonly info: DaemonInfo;
}

const failureFor =
  ({ host, environment = {} }: DaemonPlace): DaemonFailure =>
  (problem, cause) => {
    const remote = (host ?? environment["DOCKER_HOST"] ?? "").startsWith("ssh:");
    const why = remote ? "; ssh:// cannot be used, since containers get directories of this machine" : "";
    return sandboxError("OL_SANDBOX_BAD_OPTIONS", `${problem}${why}`, { cause });
  };

const refusedBy = (url: string, refusal: DaemonRefusal): string => {
  if (!/HTTP request to an HTTPS server/u.test(refusal.message))
    return `The container daemon at ${url} refuses to answer: ${refusal.message}`;
  return `The container daemon at ${url} is spoken to by TLS only: name the directory with ca.pem, cert.pem and key.pem, by docker.cert_path of a worker or by DOCKER_TLS_VERIFY and DOCKER_CERT_PATH.`;
};

/**
 * The first daemon that answers. Fails with OL_SANDBOX_DAEMON_UNAVAILABLE, whose message says of each place why it was
 * skipped, and OL_SANDBOX_BAD_OPTIONS.
 */
export const findDaemon = async (place: DaemonPlace): Promise<FoundDaemon> => {
  const skipped: string[] = [];
  let cause: unknown;
  for (const { from, address } of await daemonCandidates(place, failureFor(place))) {
    const daemon = await DockerodeDaemon.open(address);
    try {
      return { daemon, info: await daemon.info() };
    } catch (error) {
      cause = error;
      const why = error instanceof DaemonRefusal ? refusedBy(address.url, error) : messageOf(error);
      skipped.push(from === "usual place" ? why : `${why} (It is what ${from} names.)`);
    }
  }
  throw sandboxError("OL_SANDBOX_DAEMON_UNAVAILABLE", skipped.join(" "), { cause });
};
