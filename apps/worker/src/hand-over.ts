import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

import { type Logger, messageOf } from "@ol/common";

/** Names the path at which a successor waits for the listening sockets, after SIGUSR2. */
export const HANDOVER_VARIABLE = "OL_HANDOVER";
/** Names the descriptors of listening sockets that were handed over, separated by commas. */
export const LISTEN_VARIABLE = "OL_LISTEN_FDS";

const COURIER = fileURLToPath(new URL("../python/hand_over.py", import.meta.url));
const COURIER_MS = 10_000;

/** Who has listening sockets to hand over. */
export interface Listener {
  readonly logger: Logger;
  listeningFds(): readonly number[];
}

/**
 * What a worker gets from the one that it replaces, and gives to the one that replaces it: the listening sockets, so that
 * there is no moment in which nobody can connect. Node passes descriptors to its children only; so Python does it, which
 * every worker needs anyway.
 */
export class HandOver {
  /** Of sockets that listen already. */
  readonly inheritedFds: readonly number[];
  readonly #path: string | undefined;

  constructor(path: string | undefined, fds: string | undefined) {
    this.#path = path === "" ? undefined : path;
    this.inheritedFds = (fds ?? "").split(",").flatMap((fd) => (/^[1-9]\d*$/u.test(fd) ? [Number(fd)] : []));
  }

  /** From now on hands the worker's sockets over, as often as it gets SIGUSR2. Without a path the signal stays what it is. */
  offer(listener: Listener): void {
    const path = this.#path;
    if (path === undefined) return;
    process.on("SIGUSR2", () => {
      send(path, listener.listeningFds()).then(
        () => listener.logger.info("handed the listening sockets over"),
        (error: unknown) =>
          listener.logger.warn("the listening sockets could not be handed over", { error: messageOf(error) }),
      );
    });
  }
}

const send = async (path: string, fds: readonly number[]): Promise<void> => {
  const child = spawn("python3", ["-I", "-S", COURIER, path, String(fds.length)], {
    stdio: ["ignore", "ignore", "pipe", ...fds],
    timeout: COURIER_MS,
    killSignal: "SIGKILL",
  });
  let words = "";
  child.stderr?.on("data", (data) => (words += String(data)));
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(words.trim() === "" ? `it ended with ${code}` : words.trim());
};
