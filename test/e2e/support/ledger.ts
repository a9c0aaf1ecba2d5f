import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";

/**
 * Counts how often each call was run, by the calls themselves: a lambda writes its invocation id to a connection before it
 * does anything else. TCP on loopback loses nothing, also of a sandbox that is killed a moment later.
 */
export class Ledger implements AsyncDisposable {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #runs = new Map<string, number>();

  static async open(): Promise<Ledger> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Ledger(server);
  }

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (socket) => this.#connected(socket));
  }

  /** How often the call was begun. */
  runsOf(invocationId: string): number {
    return this.#runs.get(invocationId) ?? 0;
  }

  /** Calls that were begun, each as often as it was. */
  get total(): number {
    let total = 0;
    for (const runs of this.#runs.values()) total += runs;
    return total;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #connected(socket: Socket): void {
    this.#sockets.add(socket);
    let rest = "";
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => {
      const ids = (rest + text).split("\n");
      rest = ids.pop() ?? "";
      for (const id of ids) this.#runs.set(id, this.runsOf(id) + 1);
    });
    // A sandbox that is killed may leave the connection so; what it wrote before has been read.
    socket.on("error", () => undefined);
    socket.on("close", () => this.#sockets.delete(socket));
  }
}

/** The beginning of a lambda that counts its calls. `note(context)` is to be called first. */
export const LEDGER_PYTHON = `import os, socket
_ledger = socket.create_connection(("127.0.0.1", int(os.environ["LEDGER"])))
def note(context):
    _ledger.sendall(context.invocation_id.encode() + b"\\n")
`;
