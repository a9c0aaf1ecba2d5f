import type { FileHandle } from "node:fs/promises";
import { type Server, type Socket, createServer } from "node:net";
import path from "node:path";

import { messageOf } from "@ol/common";

import { sandboxError } from "../errors.ts";
import { GuestSocket } from "../frames/guest-socket.ts";

/**
 * A socket that exactly one guest connects to, in a directory that nobody else can enter: the container is given this one
 * file. With the first connection the listener is gone, before anything of a lambda runs there.
 */
export class GuestListener {
  /** What the container is given. */
  readonly path: string;
  /** Settles with the guest's connection. Rejects when it is closed before. */
  readonly connected: Promise<GuestSocket>;
  readonly #server: Server;
  #refuse: (error: Error) => void = () => undefined;

  /** `place` is the open directory `directory`: its path may be longer than the 108 bytes of a socket address. */
  static async open(place: FileHandle, directory: string, name: string): Promise<GuestListener> {
    const server = createServer({ pauseOnConnect: false });
    const address = `/proc/self/fd/${place.fd}/${name}`;
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        // The guest's user is nobody's: who can connect is decided by who has the file.
        server.listen({ path: address, readableAll: true, writableAll: true, backlog: 1 }, resolve);
      });
    } catch (error) {
      throw sandboxError("OL_SANDBOX_CREATE_FAILED", `listen for the sandbox: ${messageOf(error)}`, {
        cause: error,
      });
    }
    return new GuestListener(server, path.join(directory, name));
  }

  private constructor(server: Server, file: string) {
    this.path = file;
    this.#server = server;
    this.connected = new Promise((resolve, reject) => {
      this.#refuse = reject;
      let taken = false;
      server.on("connection", (socket: Socket) => {
        if (taken) {
          socket.destroy();
          return;
        }
        taken = true;
        server.close();
        resolve(GuestSocket.of(socket));
      });
    });
    this.connected.catch(() => undefined);
  }

  /** Nobody is waited for any more. Idempotent. */
  close(): void {
    this.#server.close();
    this.#refuse(new Error("the sandbox was given up"));
  }
}
