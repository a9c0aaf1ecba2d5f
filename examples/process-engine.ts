// An engine of one's own: a sandbox is a plain Python process. It isolates nothing; it is what others are compared with.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, stat } from "node:fs/promises";
import type { Socket } from "node:net";
import { join, resolve } from "node:path";

import {
  type Enforcement,
  type EngineSandbox,
  type EngineStats,
  guestArguments,
  type SandboxEngine,
  type SandboxExit,
  sandboxError,
  type SandboxSpec,
} from "@ol/sandbox";

const PAGE_BYTES = 4096;

/** Where a ProcessEngine finds code, and the Python that it runs on. */
export interface ProcessEngineOptions {
  readonly codeDir: string;
  /** Default: `python3`. */
  readonly python?: string;
}

/** Each sandbox is a process of this user, in a process group of its own. There are no zygotes and no limits. */
export class ProcessEngine implements SandboxEngine {
  readonly name = "process";
  readonly enforcement: Enforcement = {
    memory: "none",
    procs: "none",
    cpu: "none",
    pause: "signals",
    scratch: "none",
    rootless: true,
    notes: ["The engine `process` isolates nothing and enforces no limit: run only your own code in it."],
  };
  /** There is no host process that could be lost. */
  readonly lost: Promise<string> = new Promise(() => undefined);
  readonly #options: ProcessEngineOptions;
  readonly #sandboxes = new Map<string, ProcessSandbox>();
  #created = 0;
  #closed = false;

  constructor(options: ProcessEngineOptions) {
    this.#options = options;
  }

  async create(id: string, spec: SandboxSpec, signal?: AbortSignal): Promise<EngineSandbox> {
    const { codeDir, python = "python3" } = this.#options;
    if (spec.zygote !== undefined)
      throw sandboxError("OL_SANDBOX_NO_ZYGOTE", `There is no zygote ${spec.zygote}: this engine has none.`);
    const code = resolve(codeDir, spec.code);
    const found = await stat(code).catch(() => undefined);
    if (found?.isDirectory() !== true)
      throw sandboxError("OL_SANDBOX_CREATE_FAILED", `There is no code directory ${spec.code}.`);
    signal?.throwIfAborted();
    if (this.#closed) throw sandboxError("OL_SANDBOX_CLOSED", "The engine is closed.");
    const child = spawn(python, guestArguments({ descriptor: 3, code }), {
      cwd: code,
      env: { PATH: "/usr/local/bin:/usr/bin:/bin", LANG: "C.UTF-8", ...spec.environment },
      // The fourth is a socket pair: one end is the guest's descriptor 3.
      stdio: ["ignore", "ignore", "ignore", "pipe"],
      detached: true,
    });
    await once(child, "spawn").catch((error: unknown) => {
      const cause = error as Error;
      throw sandboxError("OL_SANDBOX_CREATE_FAILED", `${python} cannot be started: ${cause.message}`, {
        cause,
      });
    });
    const sandbox = new ProcessSandbox(id, child);
    this.#created += 1;
    this.#sandboxes.set(id, sandbox);
    void sandbox.exited.then(() => this.#sandboxes.delete(id));
    return sandbox;
  }

  stats(): EngineStats {
    const sandboxes = this.#sandboxes.size;
    const destroyed = this.#created - sandboxes;
    return { sandboxes, created: this.#created, destroyed, prepared: 0, preparedMb: 0, zygotes: 0 };
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#sandboxes.values()].map((sandbox) => sandbox.kill()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** One process, and whatever it starts. */
class ProcessSandbox implements EngineSandbox {
  readonly id: string;
  readonly connection: Socket;
  readonly exited: Promise<SandboxExit>;
  readonly #child: ChildProcess;
  #killed = false;

  constructor(id: string, child: ChildProcess) {
    this.id = id;
    this.#child = child;
    this.connection = child.stdio[3] as Socket;
    this.exited = once(child, "exit").then(([code, signal]) => {
      // What it had started goes with it.
      this.#signal("SIGKILL");
      if (this.#killed) return { reason: "killed" };
      return signal === null
        ? { reason: "exit", code: Number(code) }
        : { reason: "signal", signal: String(signal) };
    });
  }

  async pause(): Promise<void> {
    this.#signal("SIGSTOP");
  }

  async resume(): Promise<void> {
    this.#signal("SIGCONT");
  }

  /** Of the first process alone; 0 when it is gone. */
  async memoryBytes(): Promise<number> {
    const text = await readFile(join("/proc", String(this.#child.pid), "statm"), "utf8").catch(() => "");
    const [, resident = 0, shared = 0] = text.split(" ").map(Number);
    return (resident - shared) * PAGE_BYTES;
  }

  async kill(): Promise<void> {
    // A guest whose connection was closed leaves by itself, and may be quicker.
    this.#killed = true;
    this.#signal("SIGKILL");
    await this.exited;
  }

  /** To the whole group; its number is not given to anybody else while one of it lives. */
  #signal(signal: NodeJS.Signals): void {
    try {
      process.kill(-(this.#child.pid as number), signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}
