import type { Server, Socket } from "node:net";

/** The connections of a server, so that those on which nothing is done can be ended: node:http leaves some of them open. */
export class OpenConnections {
  /** By the client's address: of one with TLS, what is within it takes the place of what is around it. */
  readonly #open = new Map<string, Socket>();

  /** Hears of every connection of the server from now on. */
  watch(server: Server): void {
    server.on("connection", (socket: Socket) => this.#add(socket));
    server.on("secureConnection", (socket: Socket) => this.#add(socket));
  }

  /** Ends all but those. */
  endOthers(busy: ReadonlySet<Socket>): void {
    for (const socket of this.#open.values()) if (!busy.has(socket)) socket.destroy();
  }

  #add(socket: Socket): void {
    const key = `${socket.remoteAddress}:${socket.remotePort}`;
    this.#open.set(key, socket);
    socket.once("close", () => {
      if (this.#open.get(key) === socket) this.#open.delete(key);
    });
  }
}
