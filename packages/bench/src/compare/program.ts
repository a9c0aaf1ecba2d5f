import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";

import { messageOf } from "@ol/common";

import { benchError } from "../errors.ts";
import type { Peer } from "../peers/peer.ts";

/** The hello lambda without any of us: a line of JSON for each line of JSON. It has loaded its code when it says so. */
const PROGRAM = `import json, sys

def f(event):
    return "Hello, %s!" % event.get("name", "World")

print("ready", flush=True)
for line in sys.stdin:
    print(json.dumps(f(json.loads(line))), flush=True)
`;

const LINE_MS = 30_000;
const STOP_MS = 10_000;
const KEPT_ERROR_CHARS = 2_048;

/** The hello program, running in a peer. */
export class Program {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;
  readonly #exited: Promise<unknown>;
  readonly #roots: () => Promise<readonly number[]>;
  #errors = "";

  private constructor(name: string, child: ChildProcess, roots: () => Promise<readonly number[]>) {
    this.#name = name;
    this.#child = child;
    this.#roots = roots;
    // Also if it cannot be started at all: then there is an error, and no exit.
    this.#exited = once(child, "exit").catch((error: unknown) => (this.#errors += messageOf(error)));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#errors = (this.#errors + text).slice(-KEPT_ERROR_CHARS);
    });
    // A program that has ended takes no more lines: that is seen by the line that it does not answer.
    child.stdin?.on("error", (error) => (this.#errors += messageOf(error)));
    if (child.stdout === null) throw new Error("the program has no output");
    this.#reader = createInterface({ input: child.stdout });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  /** Starts it; settles when its code is loaded. Fails with OL_BENCH_HELPER_FAILED. */
  static async start(peer: Peer): Promise<Program> {
    const { command, args, roots } = await peer.command(["-c", PROGRAM]);
    const child = spawn(command, args, { stdio: "pipe" });
    const program = new Program(peer.name, child, roots ?? (async () => []));
    try {
      await program.#expect("ready");
      return program;
    } catch (error) {
      await program.stop();
      throw error;
    }
  }

  /** One call; fails with OL_BENCH_HELPER_FAILED or OL_BENCH_WRONG_REPLY. */
  async call(): Promise<void> {
    this.#child.stdin?.write('{"name":"Alice"}\n');
    await this.#expect('"Hello, Alice!"');
  }

  /** Processes outside of this one's tree that belong to it. */
  roots(): Promise<readonly number[]> {
    return this.#roots();
  }

  /** Ends its input, and waits for its end; whoever does not take the hint is killed. Idempotent. */
  async stop(): Promise<void> {
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS);
    await this.#exited;
    clearTimeout(timer);
    this.#reader.close();
  }

  async #expect(wanted: string): Promise<void> {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), LINE_MS);
    const { done, value } = await this.#lines.next();
    clearTimeout(timer);
    if (done === true)
      throw benchError(
        "OL_BENCH_HELPER_FAILED",
        `${this.#name} ended, or said nothing: ${this.#errors.trim()}`,
      );
    if (value !== wanted) throw benchError("OL_BENCH_WRONG_REPLY", `${this.#name} said ${value}`);
  }
}
