import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";

/** Holds calls of a lambda where they are until it is opened: sleeping would be too short or too long. */
export class Gate implements AsyncDisposable {
  readonly port: number;
  readonly #server: Server;
  readonly #held = new Set<Socket>();
  readonly #waiting: { readonly count: number; readonly resolve: () => void }[] = [];
  #open = false;

  static async create(): Promise<Gate> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Gate(server);
  }

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (socket) => this.#arrived(socket));
  }

  /** Settles when so many calls are held. */
  async holds(count: number): Promise<void> {
    if (this.#held.size < count) await new Promise<void>((resolve) => this.#waiting.push({ count, resolve }));
  }

  /** Lets everybody pass from now on. */
  open(): void {
    this.#open = true;
    for (const socket of this.#held) socket.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#held) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #arrived(socket: Socket): void {
    this.#held.add(socket);
    // The sandbox may be ended while it waits here.
    socket.on("error", () => undefined);
    socket.on("close", () => this.#held.delete(socket));
    socket.resume();
    if (this.#open) socket.end();
    for (const { count, resolve } of this.#waiting) if (this.#held.size >= count) resolve();
  }
}

/** A function whose event is the port of a gate to wait at, or 0. */
export const GATED = `def f(event, context):
    note(context)
    if event:
        with socket.create_connection(("127.0.0.1", event)) as gate:
            gate.recv(1)
    return event
`;
