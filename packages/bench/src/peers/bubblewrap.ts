import type { Peer } from "./peer.ts";
import { versionOf } from "./tool.ts";

const SHUT_IN = [
  "--ro-bind",
  "/",
  "/",
  "--dev",
  "/dev",
  "--proc",
  "/proc",
  "--unshare-all",
  "--die-with-parent",
];

/** An interpreter with namespaces of its own and the machine's files read-only; otherwise why not. */
export const findBubblewrap = async (python: string): Promise<Peer | string> => {
  const version = await versionOf("bwrap");
  if (version === undefined) return "it is not installed (Debian: apt-get install bubblewrap)";
  return {
    name: "bubblewrap",
    version,
    command: async (args) => ({ command: "bwrap", args: [...SHUT_IN, python, ...args] }),
  };
};
