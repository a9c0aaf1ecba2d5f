import { type Server, type Socket, connect, createServer } from "node:net";

import { adminError, errnoOf } from "../errors.ts";
import { escapeControls } from "../text.ts";

/** A lock that is held until `release`, or until the process ends in whatever way. */
export interface HeldLock extends AsyncDisposable {
  release(): Promise<void>;
}

/** Longer than any command takes that holds the lock, a `kill` that waits for running calls included. */
const DEADLINE_MS = 180_000;

const listen = (address: string, what: string): Promise<Server | undefined> =>
  new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      // Whoever waits reads what is being done, and notices the end when the kernel closes the connection.
      socket.on("error", () => socket.destroy());
      socket.write(what);
    });
    server.once("error", (error) => {
      if (errnoOf(error) === "EADDRINUSE") resolve(undefined);
      else
        reject(
          adminError("OL_ADMIN_FILE", `cannot lock the cluster: ${errnoOf(error) ?? error.message}`, {
            cause: error,
          }),
        );
    });
    server.listen(address, () => resolve(server));
  });

/** Settles when the present holder is gone. `said` hears what it is doing. */
const holderGone = (address: string, said: (what: string) => void, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect(address);
    const stop = (): void => {
      socket.destroy();
      reject(signal.reason as Error);
    };
    if (signal.aborted) {
      stop();
      return;
    }
    signal.addEventListener("abort", stop, { once: true });
    socket.on("data", (data: Buffer) => said(escapeControls(data.toString("utf8").slice(0, 100))));
    // An error is a holder that is gone already.
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      signal.removeEventListener("abort", stop);
      resolve();
    });
  });

const held = (server: Server): HeldLock => {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  let released: Promise<void> | undefined;
  const release = (): Promise<void> =>
    (released ??= new Promise((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    }));
  return { release, [Symbol.asyncDispose]: release };
};

/**
 * Makes sure that one ol-admin at a time changes a cluster. The lock is a name in the kernel (an abstract unix
 * socket, `ol-<cluster id>-admin`): taking it is atomic, it ends with its holder however that ends, so there is
 * no stale one, and waiting for it needs no polling. A lock file with a pid has none of the three.
 * Fails with OL_ADMIN_BUSY.
 */
export const lockCluster = async (
  clusterId: string,
  what: string,
  options: {
    readonly waiting?: (what: string) => void;
    readonly signal?: AbortSignal;
    readonly deadlineMs?: number;
  } = {},
): Promise<HeldLock> => {
  const address = `\0ol-${clusterId}-admin`;
  const deadline = AbortSignal.timeout(options.deadlineMs ?? DEADLINE_MS);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline]);
  let holder = "another command";
  for (;;) {
    const server = await listen(address, `${what} (process ${process.pid})`);
    if (server !== undefined) return held(server);
    try {
      await holderGone(
        address,
        (said) => {
          holder = said;
          options.waiting?.(said);
        },
        signal,
      );
    } catch (error) {
      if (!deadline.aborted) throw error;
      throw adminError(
        "OL_ADMIN_BUSY",
        `ol-admin ${holder} changes this cluster and does not finish; end it, then try again`,
        { cause: error },
      );
    }
  }
};
