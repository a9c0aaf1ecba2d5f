import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const SERVERS = fileURLToPath(new URL("outside.py", import.meta.url));

/** The machine's own addresses in the test's network, and those of the machine outside. */
export const MACHINE = { v4: "10.77.0.1", v6: "fd77::1" } as const;
export const OUTSIDE = { v4: "10.77.0.2", v6: "fd77::2", linkLocal: "fe80::2" } as const;
/** As Docker does it, one of the machine's own addresses leads elsewhere; and one from elsewhere leads to its own. */
export const TRANSLATED = { own: "10.77.0.9", foreign: "198.51.100.1" } as const;
/** Where servers of both machines listen. */
export const PORT = 7000;
export const GREETING = { machine: "hello from the machine", outside: "hello from outside" } as const;

const translations = (): string => {
  const rules = [
    `ip daddr ${TRANSLATED.own} dnat to ${OUTSIDE.v4}`,
    `ip daddr ${TRANSLATED.foreign} dnat to ${MACHINE.v4}`,
  ];
  return `table ip translations { chain output { type nat hook output priority -100; ${rules.join("; ")}; }; }`;
};

/** A network namespace that lives as long as a process in it, so that nothing has to be tidied up after a crash. */
class Namespace {
  readonly #holder: ChildProcess;

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  static async open(): Promise<Namespace> {
    // The shell ends with the pipe from this process.
    const holder = spawn("unshare", ["--net", "sh", "-c", "ip link set lo up && echo ready && read _"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    await once(holder.stdout, "data");
    return new Namespace(holder);
  }

  /** What, put before a command, has it run in here. */
  get prefix(): readonly string[] {
    return ["nsenter", `--net=/proc/${this.pid}/ns/net`];
  }

  get pid(): number {
    return this.#holder.pid ?? 0;
  }

  async run(...words: readonly string[]): Promise<string> {
    const [program = "", ...rest] = [...this.prefix, ...words];
    return (await promisify(execFile)(program, rest)).stdout;
  }

  async close(): Promise<void> {
    const exited = once(this.#holder, "exit");
    this.#holder.stdin?.end();
    await exited;
  }
}

/**
 * Two machines with a cable between them, in network namespaces of their own: `machine`, where workers run, and
 * `outside`, which plays the internet (a name server too). The real network is not touched.
 */
export class TestNetwork implements AsyncDisposable {
  readonly machine: Namespace;
  readonly outside: Namespace;
  readonly #servers: ChildProcess[] = [];

  private constructor(machine: Namespace, outside: Namespace) {
    this.machine = machine;
    this.outside = outside;
  }

  static async open(): Promise<TestNetwork> {
    const network = new TestNetwork(await Namespace.open(), await Namespace.open());
    const { machine, outside } = network;
    await machine.run(
      "ip",
      "link",
      "add",
      "cable",
      "type",
      "veth",
      "peer",
      "cable",
      "netns",
      `${outside.pid}`,
    );
    for (const [namespace, own, other] of [
      [machine, MACHINE, OUTSIDE],
      [outside, OUTSIDE, MACHINE],
    ] as const) {
      await namespace.run("ip", "addr", "add", `${own.v4}/24`, "dev", "cable");
      await namespace.run("ip", "-6", "addr", "add", `${own.v6}/64`, "dev", "cable", "nodad");
      await namespace.run("ip", "link", "set", "cable", "up");
      await namespace.run("ip", "route", "add", "default", "via", other.v4);
    }
    // As a cloud has it: whoever asks from the machine is answered.
    await outside.run("ip", "addr", "add", "169.254.169.254/32", "dev", "cable");
    await outside.run("ip", "-6", "addr", "add", `${OUTSIDE.linkLocal}/64`, "dev", "cable", "nodad");
    await machine.run("ip", "addr", "add", `${TRANSLATED.own}/32`, "dev", "cable");
    await machine.run("nft", translations());
    await network.serve(machine, GREETING.machine, PORT);
    await network.serve(outside, GREETING.outside, PORT, OUTSIDE.v4);
    return network;
  }

  /** Greets on every address of a machine; with `dnsAddress` is also a name server that knows only that address. */
  async serve(where: Namespace, greeting: string, port: number, dnsAddress?: string): Promise<void> {
    const dns = dnsAddress === undefined ? [] : ["dns", dnsAddress];
    const [program = "", ...words] = [
      ...where.prefix,
      "python3",
      "-I",
      "-S",
      SERVERS,
      greeting,
      `${port}`,
      ...dns,
    ];
    const server = spawn(program, words, { stdio: ["ignore", "pipe", "inherit"] });
    this.#servers.push(server);
    await once(server.stdout, "data");
  }

  /** The names of the machine's packet filter tables. */
  async tables(): Promise<readonly string[]> {
    const listed = await this.machine.run("nft", "list", "tables");
    return listed.split("\n").filter((line) => line !== "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) {
      const exited = once(server, "exit");
      server.kill("SIGKILL");
      await exited;
    }
    await this.machine.close();
    await this.outside.close();
  }
}
