import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import Docker from "dockerode";

const START_MS = 60_000;
const ATTEMPT_MS = 200;
const STOP_MS = 30_000;
const KEPT_CHARACTERS = 4_000;

/** Docker's own daemon, of the test's own: root's, without systemd, without a network, in a directory that goes with it. */
export class DockerDaemon implements AsyncDisposable {
  /** As DOCKER_HOST has it. */
  readonly host: string;
  readonly docker: Docker;
  readonly #directory: string;
  readonly #process: ChildProcess;

  static async start(): Promise<DockerDaemon> {
    // Not below TMPDIR: containerd's sockets lie deep in it, and their names may have 108 bytes.
    const daemon = new DockerDaemon(mkdtempSync("/tmp/old-"));
    try {
      await daemon.#ready();
      return daemon;
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor(directory: string) {
    this.#directory = directory;
    const socketPath = join(directory, "d.sock");
    this.host = `unix://${socketPath}`;
    this.docker = new Docker({ socketPath, host: undefined });
    this.#process = spawn(
      "dockerd",
      [
        `--data-root=${join(directory, "data")}`,
        `--exec-root=${join(directory, "exec")}`,
        `--pidfile=${join(directory, "pid")}`,
        `--host=${this.host}`,
        "--iptables=false",
        "--ip6tables=false",
        "--bridge=none",
      ],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
  }

  /** Makes an image of an archive. */
  async importArchive(archive: Buffer, repository: string): Promise<void> {
    const stream = await this.docker.importImage(archive as unknown as NodeJS.ReadableStream, {
      repo: repository,
      tag: "latest",
    });
    for await (const chunk of stream)
      if (String(chunk).includes('"error"')) throw new Error(`docker import: ${String(chunk)}`);
  }

  /** Of every container that there is. */
  async containers(): Promise<string[]> {
    return (await this.docker.listContainers({ all: true })).map(({ Id }) => Id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const ended = once(this.#process, "exit");
      this.#process.kill("SIGTERM");
      const killer = setTimeout(() => this.#process.kill("SIGKILL"), STOP_MS);
      await ended;
      clearTimeout(killer);
    }
    await promisify(execFile)("rm", ["-rf", "--one-file-system", "--", this.#directory]);
  }

  async #ready(): Promise<void> {
    let said = "";
    this.#process.stderr
      ?.setEncoding("utf8")
      .on("data", (text: string) => (said = (said + text).slice(-KEPT_CHARACTERS)));
    const failed = once(this.#process, "error").then(([error]) => Promise.reject(error as Error));
    const ended = once(this.#process, "exit").then(() => Promise.reject(new Error(`dockerd ended: ${said}`)));
    await Promise.race([this.#answers(), failed, ended]);
  }

  /** It tells nobody but systemd when it listens. */
  async #answers(): Promise<void> {
    for (const deadline = Date.now() + START_MS; ;) {
      try {
        return void (await this.docker.ping());
      } catch (error) {
        if (Date.now() > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, ATTEMPT_MS));
      }
    }
  }
}
