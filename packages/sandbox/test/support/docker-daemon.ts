import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, readdirSync, rmdirSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";

import { eventually, removeAll } from "./cluster.ts";
import { SLOWNESS } from "./scale.ts";

const START_MS = 60_000 * SLOWNESS;
const STOP_MS = 30_000 * SLOWNESS;

/** Which daemons this machine and user can start. A rootless one needs a user's session, which a test does not have. */
export type DaemonKind = "docker" | "podman";

const isInstalled = (program: string): boolean =>
  (process.env["PATH"] ?? "").split(":").some((directory) => existsSync(path.join(directory, program)));

export const DAEMONS: readonly DaemonKind[] =
  process.getuid?.() === 0
    ? (["docker", "podman"] as const).filter((kind) => isInstalled(kind === "docker" ? "dockerd" : "podman"))
    : [];

/** What a daemon does besides; of Docker's alone. */
export interface DaemonWays {
  /** Listens at this port of 127.0.0.1 too, by TLS, with ca.pem, server-cert.pem and server-key.pem of this directory. */
  readonly tls?: { readonly port: number; readonly directory: string };
  /** Other OCI runtimes, by their names: programs. */
  readonly runtimes?: Readonly<Record<string, string>>;
}

/**
 * A container daemon of the test's own, without systemd: all that it has is in a directory that goes with it. Its containers
 * have no network but the machine's.
 */
export class TestDaemon implements AsyncDisposable {
  readonly kind: DaemonKind;
  readonly directory: string;
  readonly #ways: DaemonWays;
  #process: ChildProcess | undefined;
  #log = "";

  static async start(kind: DaemonKind, ways: DaemonWays = {}): Promise<TestDaemon> {
    // Socket paths may have 108 bytes.
    const daemon = new TestDaemon(kind, await mkdtemp(path.join(tmpdir(), "ol-d-")), ways);
    await daemon.start();
    return daemon;
  }

  private constructor(kind: DaemonKind, directory: string, ways: DaemonWays) {
    this.kind = kind;
    this.directory = directory;
    this.#ways = ways;
  }

  get socket(): string {
    return path.join(this.directory, "d.sock");
  }

  get host(): string {
    return `unix://${this.socket}`;
  }

  get log(): string {
    return this.#log;
  }

  /** Starts it again after `stop` or `kill`. */
  async start(): Promise<void> {
    const child = spawn(this.#program(), this.#arguments(), {
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
      // Podman leaves each archive that it imports in there, and containerd what its threads did when it was slow to answer.
      env: { ...process.env, DOCKER_HOST: undefined, TMPDIR: this.directory },
    });
    this.#process = child;
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (data) => (this.#log = (this.#log + String(data)).slice(-100_000)));
    const deadline = Date.now() + START_MS;
    while (!(await this.#answers())) {
      if (child.exitCode !== null || Date.now() > deadline)
        throw new Error(`${this.kind} did not start: ${this.#log}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** As its service is stopped. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  /** Without a word; what it has started lives on. */
  async kill(): Promise<void> {
    this.#process?.kill("SIGCONT");
    await this.#end("SIGKILL");
    // Its containerd dies with it; until somebody has waited for that one, a new daemon takes it for alive.
    await rm(path.join(this.directory, "exec/containerd/containerd.pid"), { force: true });
  }

  /** It answers nobody until `resume`. */
  pause(): void {
    this.#process?.kill("SIGSTOP");
  }

  resume(): void {
    this.#process?.kill("SIGCONT");
  }

  /** Everything of it: processes that it left, mounts, the directory. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#process?.kill("SIGCONT");
    await this.#end("SIGTERM");
    await this.#endLeftProcesses();
    await this.#unmount();
    this.#removeGroups();
    removeAll(this.directory);
  }

  #program(): string {
    return this.kind === "docker" ? "dockerd" : "podman";
  }

  #arguments(): string[] {
    const at = (name: string): string => path.join(this.directory, name);
    const words = {
      docker: `--data-root ${at("data")} --exec-root ${at("exec")} --pidfile ${at("pid")} --host ${this.host} --iptables=false --ip6tables=false --bridge=none --group=root --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent=/${path.basename(this.directory)}`,
      podman: `--root ${at("data")} --runroot ${at("run")} --tmpdir ${at("tmp")} --cgroup-manager=cgroupfs --events-backend=file system service --time=0 ${this.host}`,
    };
    return [...words[this.kind].split(" "), ...this.#waysAsArguments()];
  }

  #waysAsArguments(): string[] {
    const { tls, runtimes = {} } = this.#ways;
    const words = Object.entries(runtimes).map(([name, program]) => `--add-runtime=${name}=${program}`);
    if (tls === undefined) return words;
    const file = (name: string): string => path.join(tls.directory, name);
    return [
      ...words,
      `--host=tcp://127.0.0.1:${tls.port}`,
      "--tlsverify",
      `--tlscacert=${file("ca.pem")}`,
      `--tlscert=${file("server-cert.pem")}`,
      `--tlskey=${file("server-key.pem")}`,
    ];
  }

  async #answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const asked = request({ socketPath: this.socket, path: "/_ping", timeout: 1_000 }, (reply) => {
        reply.resume();
        resolve(reply.statusCode === 200);
      });
      asked.on("timeout", () => asked.destroy());
      asked.on("error", () => resolve(false));
      asked.end();
    });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill(signal);
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    await exited;
    clearTimeout(timer);
  }

  /** Shims and monitors outlive a daemon that was killed; theirs are the only command lines that name the directory. */
  async #endLeftProcesses(): Promise<void> {
    const left = (): number[] =>
      readdirSync("/proc")
        .map(Number)
        .filter((pid) => pid > 0 && pid !== process.pid && commandOf(pid).includes(this.directory));
    for (const pid of left()) kill(pid);
    await eventually(() => left().length === 0);
  }

  /** Of control groups the one above its containers' stays, and those of containers that it could not remove. */
  #removeGroups(): void {
    for (const hierarchy of ["", ...readdirSync("/sys/fs/cgroup").map((each) => `/${each}`)]) {
      const group = `/sys/fs/cgroup${hierarchy}/${this.kind === "docker" ? path.basename(this.directory) : "libpod_parent"}`;
      const below = existsSync(group) ? readdirSync(group, { withFileTypes: true }) : [];
      const names = below.filter((each) => each.isDirectory()).map(({ name }) => `${group}/${name}`);
      for (const each of existsSync(group) ? [...names, group] : []) {
        try {
          rmdirSync(each);
        } catch {
          // Podman's has one name for all: another one's containers are in it.
        }
      }
    }
  }

  async #unmount(): Promise<void> {
    const mounts = (await readFile("/proc/self/mountinfo", "utf8"))
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "")
      .filter((place) => place.startsWith(`${this.directory}/`));
    for (const place of mounts.reverse()) execFileSync("umount", ["-l", "--", place]);
  }
}

const commandOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    // It has ended.
    return "";
  }
};

const kill = (pid: number): void => {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
};
