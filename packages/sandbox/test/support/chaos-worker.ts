import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath, pathToFileURL } from "node:url";

import type { Enforcement, PoolStats } from "../../src/index.ts";
import type { SockEngineOptions } from "../../src/sock/options.ts";
import { type Account, sandboxModuleFor } from "./accounts.ts";

const PROGRAM = fileURLToPath(new URL("chaos-worker.mjs", import.meta.url));
// Before a test's own time is over: what it leaves running then nobody ends.
const START_MS = 45_000;

/** An error as the process reported it. */
export class ReportedError extends Error {
  readonly code: string;

  constructor(error: { code: string; message: string }) {
    super(error.message);
    this.code = error.code;
  }
}

export interface ChaosWorkerOptions {
  readonly account: Account;
  readonly engine: Omit<SockEngineOptions, "logger">;
  readonly memoryMb?: number;
  readonly createMs?: number;
  /** Wraps the command: a program and its first arguments, such as `prlimit --nofile=256`. */
  readonly wrapper?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

export interface WorkerStats {
  readonly tally: Readonly<Record<string, number>>;
  readonly pool: PoolStats;
  readonly enforcement: Enforcement;
  readonly swept: number;
  readonly log: readonly { level: string; message: string }[];
}

/** What a sandbox is made from and called with; see chaos-worker.mjs. */
export interface Work {
  readonly handler: string;
  readonly event?: unknown;
  readonly limits?: Readonly<Record<string, number>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  readonly deadlineMs?: number;
  readonly scratchOnDisk?: boolean;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

type Message = {
  readonly id?: number;
  readonly event?: string;
  readonly ok?: unknown;
  readonly error?: { code: string; message: string };
};

/** A worker in small in a process of its own (chaos-worker.mjs), and a session of its own: see Leftovers. */
export class ChaosWorker implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly exited: Promise<unknown>;
  brokerPid = 0;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;

  /** Starts one; rejects with what the engine said if it cannot start. */
  static async start(options: ChaosWorkerOptions): Promise<ChaosWorker> {
    const worker = new ChaosWorker(options, await sandboxModuleFor(options.account));
    const timer = setTimeout(() => worker.process.kill("SIGKILL"), START_MS);
    try {
      const first = await Promise.race([
        worker.#first,
        worker.exited.then(() => ({ error: { code: "EXIT", message: "it ended before it was ready" } })),
      ]);
      if (first.error !== undefined) throw new ReportedError(first.error);
      worker.brokerPid = (first as { brokerPid?: number }).brokerPid ?? 0;
      return worker;
    } finally {
      clearTimeout(timer);
    }
  }

  readonly #first: Promise<Message>;

  private constructor(options: ChaosWorkerOptions, module: string) {
    const { account, wrapper = [], engine, memoryMb = 4_000, createMs } = options;
    const settings = JSON.stringify({
      module: pathToFileURL(module).href,
      memoryMb,
      createMs,
      engine: { python: account.python, ...engine },
    });
    const [program = process.execPath, ...before] = wrapper;
    this.process = fork(account.program ?? PROGRAM, [settings], {
      execPath: program,
      execArgv: [...before, ...(wrapper.length > 0 ? [process.execPath] : []), "--expose-gc"],
      stdio: ["ignore", "ignore", "inherit", "ipc"],
      detached: true,
      env: { PATH: account.path, ...options.environment },
      ...(account.uid !== undefined && { uid: account.uid, gid: account.uid }),
    });
    this.exited = once(this.process, "exit");
    this.#first = new Promise((resolve) =>
      this.process.once("message", (message) => resolve(message as Message)),
    );
    this.process.on("message", (message) => this.#onMessage(message as Message));
    this.process.once("exit", () => {
      for (const waiting of this.#waiting.values()) waiting.reject(new Error("the process ended"));
      this.#waiting.clear();
    });
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  call(work: Work): Promise<unknown> {
    return this.ask("call", work);
  }

  /** A sandbox that stays; returns its id. */
  hold(work: Work & { readonly ready?: boolean }): Promise<string> {
    return this.ask("hold", work) as Promise<string>;
  }

  stats(): Promise<WorkerStats> {
    return this.ask("stats") as Promise<WorkerStats>;
  }

  ask(verb: string, fields: object = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#lastId += 1;
      this.#waiting.set(this.#lastId, { resolve, reject });
      this.process.send({ id: this.#lastId, verb, ...fields }, (error) => {
        if (error !== null) reject(error);
      });
    });
  }

  /** Ends it in order: pool, engine, process. */
  async close(): Promise<void> {
    await this.ask("close");
    await this.kill();
  }

  /** SIGKILL, and waits until it is gone. Its broker may still be at work then. */
  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) await this.kill();
  }

  #onMessage(message: Message): void {
    const waiting = this.#waiting.get(message.id ?? 0);
    if (waiting === undefined) return;
    this.#waiting.delete(message.id ?? 0);
    if (message.error === undefined) waiting.resolve(message.ok);
    else waiting.reject(new ReportedError(message.error));
  }
}
