import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { type Deferred, deferred, within } from "@ol/common";

import { SLOWNESS } from "./scale.ts";

const PROGRAM = fileURLToPath(new URL("store-process.mjs", import.meta.url));
const ANSWER_MS = 60_000 * SLOWNESS;

/** What a store in another process failed with. */
export class RemoteError extends Error {
  readonly code: string;
  /** The system's code, if it was the disk. */
  readonly why: string | undefined;

  constructor(error: { readonly code: string; readonly message: string; readonly cause?: string }) {
    super(error.message);
    this.code = error.code;
    this.why = error.cause;
  }
}

/** One change that `load` has begun; `digest` is null for a removal. */
export interface Change {
  readonly key: string;
  readonly digest: string | null;
  done: boolean;
}

export interface StoreProcessOptions {
  readonly directory: string;
  readonly limits?: Readonly<Record<string, number>>;
  /** Command and arguments that run the program: `strace -o FILE` for example. */
  readonly under?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** A store in a process of its own (store-process.mjs). */
export class StoreProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #asked = new Map<number, Deferred<unknown>>();
  readonly #changes = new Map<string, Change>();
  readonly #failures: string[] = [];
  readonly #exited: Promise<unknown>;
  readonly #closed: Promise<unknown>;
  #nextId = 1;
  #stderr = "";

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#exited = once(child, "exit");
    this.#closed = once(child, "close").finally(() => {
      for (const each of this.#asked.values()) each.reject(new Error(`the process ended: ${this.#stderr}`));
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.#stderr += text));
    createInterface({ input: child.stdout as NonNullable<typeof child.stdout> }).on("line", (line) =>
      this.#hear(line),
    );
  }

  /** Rejects with what the store cannot be opened for. */
  static async start({
    directory,
    limits,
    under = [],
    environment = {},
  }: StoreProcessOptions): Promise<StoreProcess> {
    const command = [...under, process.execPath, PROGRAM, JSON.stringify({ directory, limits })];
    const child = spawn(command[0] as string, command.slice(1), { env: { ...process.env, ...environment } });
    const started = new StoreProcess(child);
    const opened = deferred<unknown>();
    started.#asked.set(0, opened);
    try {
      if ((await within(opened.promise, ANSWER_MS)) === undefined) throw new Error("the store does not open");
      return started;
    } catch (error) {
      await started.kill();
      throw error;
    }
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** What `load` has begun, in that order. */
  get changes(): readonly Change[] {
    return [...this.#changes.values()];
  }

  /** What made a writer of `load` end. */
  get failures(): readonly string[] {
    return this.#failures;
  }

  async ask(verb: string, request: object = {}): Promise<unknown> {
    const id = this.#nextId;
    this.#nextId += 1;
    const answer = deferred<unknown>();
    this.#asked.set(id, answer);
    this.#child.stdin?.write(`${JSON.stringify({ id, verb, ...request })}\n`);
    const result = await within(
      answer.promise.then((value) => ({ value })),
      ANSWER_MS,
    );
    if (result === undefined) throw new Error(`no answer to ${verb}`);
    return result.value;
  }

  /** Resolves when the process is gone and all that it said is heard. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exited;
    await this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin?.end();
    if (
      (await within(
        this.#closed.then(() => "closed"),
        10_000,
      )) === undefined
    )
      await this.kill();
  }

  #hear(line: string): void {
    const message = JSON.parse(line) as {
      id?: number;
      result?: unknown;
      error?: ConstructorParameters<typeof RemoteError>[0];
      begins?: string;
      done?: string;
      failed?: { message: string };
      key: string;
      digest: string | null;
    };
    if (message.begins !== undefined) {
      this.#changes.set(message.begins, { key: message.key, digest: message.digest, done: false });
    } else if (message.done !== undefined) {
      const change = this.#changes.get(message.done);
      if (change !== undefined) change.done = true;
    } else if (message.failed !== undefined) {
      this.#failures.push(message.failed.message);
    } else if (message.id !== undefined) {
      const asked = this.#asked.get(message.id);
      this.#asked.delete(message.id);
      if (message.error === undefined) asked?.resolve(message.result);
      else asked?.reject(new RemoteError(message.error));
    }
  }
}
