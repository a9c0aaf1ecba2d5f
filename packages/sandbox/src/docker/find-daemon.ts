import { messageOf } from "@ol/common";

import { sandboxError } from "../errors.ts";
import { candidates, type DaemonPlace } from "./address.ts";
import type { ContainerDaemon, DaemonInfo } from "./daemon.ts";
import { DockerodeDaemon } from "./dockerode-daemon.ts";

/** A daemon that answers, and what it says of itself. */
export interface FoundDaemon {
  readonly daemon: ContainerDaemon;
  readonly info: DaemonInfo;
}

/**
 * The first daemon that answers. Fails with OL_SANDBOX_DAEMON_UNAVAILABLE, whose message says of each place why it was
 * skipped, and OL_SANDBOX_BAD_OPTIONS.
 */
export const findDaemon = async (place: DaemonPlace): Promise<FoundDaemon> => {
  const skipped: string[] = [];
  let cause: unknown;
  for (const { from, address } of await candidates(place)) {
    const daemon = await DockerodeDaemon.open(address);
    try {
      return { daemon, info: await daemon.info() };
    } catch (error) {
      cause = error;
      skipped.push(
        from === "usual place" ? messageOf(error) : `${messageOf(error)} (It is what ${from} names.)`,
      );
    }
  }
  throw sandboxError("OL_SANDBOX_DAEMON_UNAVAILABLE", skipped.join(" "), { cause });
};
