import { CleanupStack } from "@ol/common";

import type { Skipped } from "../results.ts";
import { findBubblewrap } from "./bubblewrap.ts";
import { findContainers } from "./containers.ts";
import type { Peer } from "./peer.ts";
import { findRunc } from "./runc.ts";
import { versionOf } from "./tool.ts";

/** Other ways to run Python, by the name on the command line: each says itself, or why it cannot be compared. */
const PEERS: Readonly<Record<string, (python: string, cleanup: CleanupStack) => Promise<Peer | string>>> = {
  python: async (python) => ({
    name: "python3",
    version: (await versionOf(python)) ?? python,
    command: async (args) => ({ command: python, args }),
  }),
  bubblewrap: findBubblewrap,
  runc: findRunc,
  docker: (python, cleanup) => findContainers("docker", python, cleanup),
  podman: (python, cleanup) => findContainers("podman", python, cleanup),
};

export const PEER_NAMES: readonly string[] = Object.keys(PEERS);

export interface Peers extends AsyncDisposable {
  readonly found: readonly Peer[];
  readonly skipped: readonly Skipped[];
}

/** Those of the named ways that this machine has. `python` is an interpreter without third-party packages. */
export const findPeers = async (names: readonly string[], python: string): Promise<Peers> => {
  const cleanup = new CleanupStack();
  try {
    const found: Peer[] = [];
    const skipped: Skipped[] = [];
    for (const name of names) {
      const peer = await PEERS[name]?.(python, cleanup);
      if (peer === undefined) throw new Error(`there is no peer ${name}`);
      if (typeof peer === "string") skipped.push({ name, reason: peer });
      else found.push(peer);
    }
    return { found, skipped, [Symbol.asyncDispose]: () => cleanup.run() };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
};
