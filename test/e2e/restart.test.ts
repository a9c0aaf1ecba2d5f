import { Agent, request } from "node:http";
import { mkdirSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { type AddressInfo, type Server, type Socket, createServer } from "node:net";
import { once } from "node:events";
import path from "node:path";

import { describe, expect, it, onTestFinished } from "vitest";

import { freePorts } from "../../packages/common/src/index.ts";
import { listeningInodes } from "../../packages/admin/src/process/port.ts";
import { MODES, RealCluster } from "./support/real-cluster.ts";

/** Tells the collector that it runs, before anything else, over a connection that loses nothing. */
const TALLY = `import socket, time

def f(event):
    with socket.create_connection(("127.0.0.1", event["collector"])) as connection:
        connection.sendall(b"%d\\n" % event["id"])
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
    time.sleep(event["sleep"])
    return event["id"]
`;

/** Who is told of every run of the lambda. */
class Collector {
  readonly runs = new Map<number, number>();
  readonly #server: Server;

  static async start(): Promise<Collector> {
    const collector = new Collector();
    collector.#server.listen(0, "127.0.0.1");
    await once(collector.#server, "listening");
    onTestFinished(() => void collector.#server.close());
    return collector;
  }

  private constructor() {
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      let text = "";
      socket.on("data", (data) => (text += String(data)));
      // A sandbox that is ended in mid-call.
      socket.on("error", () => undefined);
      socket.on("end", () => {
        for (const id of text.trim().split("\n").map(Number)) this.runs.set(id, (this.runs.get(id) ?? 0) + 1);
        socket.end();
      });
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }
}

/** What became of one attempt. */
type Attempt =
  | { readonly kind: "reply"; readonly status: number; readonly notStarted: boolean; readonly body: string }
  /** Nothing was sent. */
  | { readonly kind: "refused" }
  /** Nobody can tell from this whether it was run. */
  | { readonly kind: "broken"; readonly why: string };

const attempt = (port: number, agent: Agent | false, body: string): Promise<Attempt> =>
  new Promise((resolve) => {
    let socket: Socket | undefined;
    let writtenBefore = 0;
    const options = { host: "127.0.0.1", port, method: "POST", path: "/run/tally", agent } as const;
    const outgoing = request(options, (reply) => {
      let text = "";
      reply.on("data", (data) => (text += String(data)));
      reply.on("error", (error) => resolve({ kind: "broken", why: `in the reply: ${error.message}` }));
      const notStarted = reply.headers["x-ol-not-started"] === "1";
      reply.on("end", () =>
        resolve({ kind: "reply", status: reply.statusCode ?? 0, notStarted, body: text }),
      );
    });
    outgoing.on("socket", (given) => {
      socket = given;
      writtenBefore = given.bytesWritten;
    });
    outgoing.on("error", (error: NodeJS.ErrnoException) => {
      const sent = error.code !== "ECONNREFUSED" && (socket?.bytesWritten ?? 0) > writtenBefore;
      resolve(
        sent
          ? { kind: "broken", why: `${error.message}, reused ${outgoing.reusedSocket}` }
          : { kind: "refused" },
      );
    });
    outgoing.end(body);
  });

/** How long a client waits before it tries again. */
const AGAIN_MS = 5;
const PACE_MS = 3;

/** A client that calls all the time, and tries again only what certainly did not start. */
class Customer {
  static #ids = 0;
  readonly answered: number[] = [];
  /** When each of them was. */
  readonly momentsMs: number[] = [];
  readonly wrong: string[] = [];
  readonly tally = { notStarted: 0, refused: 0 };
  readonly #port: number;
  readonly #collector: number;
  readonly #agent: Agent | false;
  readonly #loop: Promise<void>;
  #over = false;

  constructor(port: number, collector: number, kept: boolean) {
    this.#port = port;
    this.#collector = collector;
    this.#agent = kept && new Agent({ keepAlive: true, maxSockets: 1 });
    this.#loop = this.#run();
  }

  /** Settles when its last call is answered. */
  async stop(): Promise<void> {
    this.#over = true;
    await this.#loop;
    if (this.#agent !== false) this.#agent.destroy();
  }

  async #run(): Promise<void> {
    while (!this.#over) {
      await this.#call((Customer.#ids += 1));
      await sleep(PACE_MS);
    }
  }

  async #call(id: number): Promise<void> {
    const body = JSON.stringify({ id, collector: this.#collector, sleep: (id % 5) / 100 });
    for (;;) {
      const outcome = await attempt(this.#port, this.#agent, body);
      if (outcome.kind === "reply" && outcome.status === 200 && outcome.body === String(id)) {
        this.answered.push(id);
        this.momentsMs.push(performance.now());
        return;
      }
      if (outcome.kind === "refused") this.tally.refused += 1;
      else if (outcome.kind === "reply" && outcome.status === 503 && outcome.notStarted)
        this.tally.notStarted += 1;
      else
        return void this.wrong.push(
          `${id} (${this.#agent === false ? "fresh" : "kept"}): ${JSON.stringify(outcome)}`,
        );
      await sleep(AGAIN_MS);
    }
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Which processes have a socket that listens on the port. */
const holdersOf = (port: number): number[] => {
  const inodes = ["tcp", "tcp6"].flatMap((name) =>
    listeningInodes(readFileSync(`/proc/net/${name}`, "utf8"), port),
  );
  const sockets = new Set(inodes.map((inode) => `socket:[${inode}]`));
  const has = (pid: string): boolean =>
    namesIn(`/proc/${pid}/fd`).some((fd) => sockets.has(targetOf(`/proc/${pid}/fd/${fd}`)));
  return namesIn("/proc")
    .filter((name) => /^\d+$/u.test(name) && has(name))
    .map(Number);
};

// Processes and descriptors come and go while we look.
const namesIn = (directory: string): string[] => {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
};

const targetOf = (link: string): string => {
  try {
    return readlinkSync(link);
  } catch {
    return "";
  }
};

/** The longest time between two of them. */
const longestBetween = (momentsMs: readonly number[]): number => {
  const sorted = momentsMs.toSorted((one, other) => one - other);
  return Math.max(...sorted.map((moment, at) => moment - (sorted[at - 1] ?? moment)));
};

describe.each(MODES)("a worker of $name that is replaced under load", (mode) => {
  it("loses no call: each is answered once and was run once, over kept connections and fresh ones", async () => {
    const cluster = await RealCluster.create(mode);
    mkdirSync(path.join(cluster.directory, "registry/tally"));
    writeFileSync(path.join(cluster.directory, "registry/tally/f.py"), TALLY);
    const collector = await Collector.start();
    const port = await freePorts(3);
    await cluster.start(1, port);
    const customers = [true, true, true, false, false].map(
      (kept) => new Customer(port, collector.port, kept),
    );
    const restarts = 2;
    const pids = new Set<number>();
    for (let round = 0; round <= restarts; round += 1) {
      pids.add(cluster.workers()[0]?.pid ?? 0);
      await sleep(700);
      if (round === restarts) break;
      const outcome = await cluster.admin("workers", "--restart");
      expect(outcome).toMatchObject({ code: 0 });
      // Neither the old one nor whoever carried the sockets over, least of all a sandbox.
      expect(holdersOf(port)).toEqual(cluster.workers().map(({ pid }) => pid));
    }
    await Promise.all(customers.map((customer) => customer.stop()));
    const answered = customers.flatMap((customer) => customer.answered);
    const sum = (of: "notStarted" | "refused"): number =>
      customers.reduce((all, { tally }) => all + tally[of], 0);
    const pauseMs = Math.round(longestBetween(customers.flatMap((customer) => customer.momentsMs)));
    const notStarted = sum("notStarted");
    console.log(
      `${mode.name}: ${answered.length} calls over ${restarts} restarts; told "not started" ${notStarted} times; no call was answered for at most ${pauseMs} ms`,
    );
    expect(customers.flatMap((customer) => customer.wrong)).toEqual([]);
    expect(sum("refused")).toBe(0);
    expect(notStarted).toBeGreaterThan(0);
    expect(pids.size).toBe(restarts + 1);
    expect(customers.every((customer) => customer.answered.length > 20)).toBe(true);
    const notOnce = answered.filter((id) => collector.runs.get(id) !== 1);
    expect(notOnce).toEqual([]);
    expect(collector.runs.size).toBe(answered.length);
  });
});
