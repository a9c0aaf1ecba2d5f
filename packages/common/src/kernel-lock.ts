import { type Server, type Socket, connect, createServer } from "node:net";

/** A lock that is held until `release`, or until the process ends in whatever way. */
export interface HeldLock extends AsyncDisposable {
  release(): Promise<void>;
}

/** Longer, and the kernel has no room for it. */
const MOST_NAME_BYTES = 107;

/**
 * Takes the lock of that name, if nobody on this machine holds it; undefined if somebody does, who is told `what` the
 * holder is doing. A lock is a name in the kernel (an abstract unix socket): taking it is atomic, it ends with its
 * holder however that ends, so there is no stale one, and waiting for it needs no polling. A lock file with a pid has none
 * of the three. Fails with the system's error where there can be no such socket, and with a RangeError for a name too long.
 */
export const tryLock = async (name: string, what: string): Promise<HeldLock | undefined> => {
  if (Buffer.byteLength(name) > MOST_NAME_BYTES) throw new RangeError(`the lock's name ${name} is too long`);
  const server = await listen(`\0${name}`, what);
  return server === undefined ? undefined : held(server);
};

/**
 * Settles when the holder of the lock is gone, at once if there is none. `said` hears what it is doing. Rejects with the signal's
 * reason.
 */
export const lockFree = (name: string, said: (what: string) => void, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const socket = connect(`\0${name}`);
    const stop = (): void => {
      socket.destroy();
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", stop, { once: true });
    socket.on("data", (data: Buffer) => said(data.toString("utf8").slice(0, 100)));
    // An error is a holder that is gone already.
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      signal.removeEventListener("abort", stop);
      resolve();
    });
  });

const listen = (address: string, what: string): Promise<Server | undefined> =>
  new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      // Whoever waits reads what is being done, and notices the end when the kernel closes the connection.
      socket.on("error", () => socket.destroy());
      socket.write(what);
    });
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(undefined);
      else reject(error);
    });
    server.listen(address, () => resolve(server));
  });

const held = (server: Server): HeldLock => {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  let released: Promise<void> | undefined;
  const release = (): Promise<void> =>
    (released ??= new Promise((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    }));
  return { release, [Symbol.asyncDispose]: release };
};
