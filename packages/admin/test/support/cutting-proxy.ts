import { once } from "node:events";
import { type Server, type Socket, connect, createServer } from "node:net";
import { join } from "node:path";

import { temporaryDirectory } from "./harness.ts";

/** Stands before a daemon, and lets no more than so many bytes of a reply pass on each connection. */
export class CuttingProxy implements AsyncDisposable {
  /** As DOCKER_HOST has it. */
  readonly host: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #reached: () => void = () => undefined;
  /** Settles when the limit is reached for the first time. */
  readonly reached: Promise<void> = new Promise((resolve) => (this.#reached = resolve));

  /** `then`: whether the connection hangs from there on, or breaks. */
  static async start(daemon: string, bytes: number, then: "hang" | "break"): Promise<CuttingProxy> {
    const path = join(temporaryDirectory(), "p.sock");
    const proxy = new CuttingProxy(path, daemon.slice("unix://".length), bytes, then);
    await once(proxy.#server, "listening");
    return proxy;
  }

  private constructor(path: string, daemon: string, bytes: number, then: "hang" | "break") {
    this.host = `unix://${path}`;
    this.#server = createServer((client) => {
      const upstream = connect(daemon);
      let passed = 0;
      for (const [socket, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        this.#sockets.add(socket);
        socket.on("error", () => undefined).on("close", () => other.destroy());
      }
      client.pipe(upstream);
      upstream.on("data", (data) => {
        client.write(data);
        passed += data.length;
        if (passed < bytes) return;
        this.#reached();
        if (then === "break") client.destroy();
        else upstream.pause();
      });
    }).listen(path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}
