import { once } from "node:events";
import { createServer } from "node:net";

/**
 * Counts how often each call was run, and where, by the calls themselves: each sends its number before it does anything else, and goes on only
 * when that was acknowledged. So what a machine took along unheard had no effect yet.
 */
export class Ledger {
  #runs = new Map();
  #byMachine = new Map();

  static async open(host) {
    const server = createServer();
    server.listen(0, host);
    await once(server, "listening");
    return new Ledger(server);
  }

  constructor(server) {
    this.port = server.address().port;
    server.on("connection", (socket) => this.#connected(socket));
  }

  /** How often the call was begun. */
  runsOf(number) {
    return this.#runs.get(number) ?? 0;
  }

  /** How many calls were begun on the machine with this address. */
  runsOn(machine) {
    return this.#byMachine.get(machine) ?? 0;
  }

  #connected(socket) {
    const machine = socket.remoteAddress;
    let rest = "";
    socket.setEncoding("latin1").setNoDelay(true);
    socket.on("data", (text) => {
      const numbers = (rest + text).split("\n");
      rest = numbers.pop();
      for (const number of numbers) {
        this.#runs.set(number, this.runsOf(number) + 1);
        this.#byMachine.set(machine, this.runsOn(machine) + 1);
        socket.write("+");
      }
    });
    // Of a machine that died: what was heard of it counts.
    socket.on("error", () => undefined);
  }
}

/** A lambda that is run at most once a call, or the ledger shows it. */
export const COUNTING_LAMBDA = `import os, socket, time

host, port = os.environ["LEDGER"].split(":")
ledger = socket.create_connection((host, int(port)), timeout=60)


def f(event):
    ledger.sendall(event["number"].encode() + b"\\n")
    if ledger.recv(1) != b"+":
        raise RuntimeError("the ledger is gone")
    time.sleep(0.02)
    return event["number"]
`;
