import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";

import { type Logger, OlError, messageOf } from "@ol/common";

import { SANDBOX_ERRORS, type SandboxErrorCode, sandboxError } from "../errors.ts";
import type { SandboxExit } from "../engine.ts";
import { BrokerWire, encodeFrame } from "./broker-wire.ts";
import { PYTHON_DIR } from "./python.ts";

/** Which of the programs in python/ol_host it is. */
export interface HelperProgram {
  readonly name: "broker" | "porter";
  /** What its Python runs, with PYTHON_DIR as the first argument. */
  readonly start: string;
}

/** What the broker tells by itself. */
export interface BrokerEvents {
  exit(sandbox: string, exit: SandboxExit): void;
  zygoteExit(zygote: string, exit: SandboxExit): void;
  /** A sandbox has more in its scratch directory than it may; told by the porter, which ends nothing itself. */
  full(sandbox: string): void;
  /** How many processes wait to become sandboxes, and the memory that they hold. */
  prepared(count: number, memoryMb: number): void;
  /** The broker's process ended, and with it every sandbox; `expected` if it was told to. One line for people. */
  ended(reason: string, expected: boolean): void;
}

interface Waiting {
  readonly timer: NodeJS.Timeout;
  resolve(value: Record<string, unknown>): void;
  reject(error: OlError): void;
}

// The broker never waits for anybody, so that only one that was stopped, or a machine that hangs, takes this long.
const REQUEST_TIMEOUT_MS = 30_000;
// The broker gives an import 30 s.
const ZYGOTE_TIMEOUT_MS = 45_000;
// It may have to wait for a predecessor that is tidying up, and then to tidy up itself.
const START_TIMEOUT_MS = 120_000;

// Its child may have a hundred thousand files to go through, on a slow disk.
const KEEP_TIMEOUT_MS = 300_000;

const TIMEOUTS_MS: Readonly<Record<string, number>> = {
  keep: KEEP_TIMEOUT_MS,
  start: START_TIMEOUT_MS,
  zygote: ZYGOTE_TIMEOUT_MS,
};
// The broker kills, waits and sweeps for at most 10 s by itself.
const CLOSE_TIMEOUT_MS = 15_000;
const LAST_WORDS_BYTES = 4096;
const LAST_WORDS_MS = 250;

/**
 * The process of the broker, or of the porter in its place, and the requests under way. The socket was inherited by the broker at its start; no path
 * leads to it. When this process ends, however it does, the broker reads end-of-file and ends everything.
 */
export class BrokerClient {
  readonly #process: ChildProcess;
  readonly #wire: BrokerWire;
  readonly #waiting = new Map<number, Waiting>();
  readonly #program: HelperProgram;
  readonly #events: BrokerEvents;
  readonly #logger: Logger;
  #lastId = 0;
  #lastWords = "";
  #ended: string | undefined;
  #closing = false;
  readonly exited: Promise<void>;
  #letGo: () => void = () => undefined;

  constructor(python: string, program: HelperProgram, events: BrokerEvents, logger: Logger) {
    this.#program = program;
    this.#events = events;
    this.#logger = logger;
    this.#process = spawn(python, ["-I", "-S", "-B", "-c", program.start, PYTHON_DIR], {
      stdio: ["ignore", "ignore", "pipe", "pipe"],
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C.UTF-8" },
      cwd: "/",
    });
    this.#wire = new BrokerWire(this.#process.stdio[3] as Socket, (message) => this.#onMessage(message));
    this.#process.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS_BYTES);
    });
    this.exited = new Promise((resolve) => {
      this.#letGo = resolve;
      this.#process.once("error", (error) => {
        this.#onEnd(`the ${program.name} could not be started: ${error.message}`);
        resolve();
      });
      this.#process.once("exit", (code, signal) => {
        const end = (): void => {
          clearTimeout(timer);
          const words = this.#lastWords.trim().split("\n").at(-1) ?? "";
          this.#onEnd(`the ${program.name} ended (${signal ?? `exit code ${code}`})${words && `: ${words}`}`);
          resolve();
        };
        // Standard error is read to its end first; but a child of the broker's that dies slowly still has it open.
        const timer = setTimeout(end, LAST_WORDS_MS);
        this.#process.once("close", end);
      });
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Sends one request; rejects with the broker's own code, or with OL_SANDBOX_BROKER_LOST. */
  request(verb: string, fields: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(sandboxError("OL_SANDBOX_BROKER_LOST", this.#ended));
        return;
      }
      this.#lastId += 1;
      const id = this.#lastId;
      const frame = encodeFrame({ v: 1, id, verb, ...fields });
      if (frame === undefined) {
        const message = "The sandbox's description (its environment, mostly) is larger than 64 KiB.";
        reject(sandboxError("OL_SANDBOX_BAD_OPTIONS", message));
        return;
      }
      const timeoutMs = TIMEOUTS_MS[verb] ?? REQUEST_TIMEOUT_MS;
      const timer = setTimeout(
        () => this.#giveUp(`it did not answer "${verb}" within ${timeoutMs} ms`),
        timeoutMs,
      );
      this.#waiting.set(id, { timer, resolve, reject });
      this.#wire.send(frame);
    });
  }

  /** A broker that hangs is as good as lost; with it gone its sandboxes are, and everybody hears of it. */
  #giveUp(reason: string): void {
    this.#lastWords += `\n${reason}`;
    this.#kill(reason);
  }

  /** A worker that gave up root may not: then the broker is let go of, and ends when it reads the end of the socket. */
  #kill(reason: string): void {
    try {
      // Not the child's own kill, which tells of a refusal by an event that means that it was never started.
      if (
        this.#process.exitCode === null &&
        this.#process.signalCode === null &&
        this.#process.pid !== undefined
      )
        process.kill(this.#process.pid, "SIGKILL");
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ESRCH") return;
      if (code !== "EPERM") throw error;
      this.#process.stdio[3]?.destroy();
      this.#onEnd(`the ${this.#program.name} hangs: ${reason}`);
      this.#letGo();
    }
  }

  /** Ends every sandbox and the broker; waits for its exit, and kills it if it takes too long. */
  async close(): Promise<void> {
    this.#closing = true;
    const timer = setTimeout(() => this.#kill("it did not end in time"), CLOSE_TIMEOUT_MS);
    try {
      this.#wire.end();
      await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  #onMessage(message: Record<string, unknown>): void {
    if (message["event"] === "exit") {
      this.#events.exit(String(message["sandbox"]), exitOf(message));
      return;
    }
    if (message["event"] === "zygote-exit") {
      this.#events.zygoteExit(String(message["zygote"]), exitOf(message));
      return;
    }
    if (message["event"] === "full") {
      this.#events.full(String(message["sandbox"]));
      return;
    }
    if (message["event"] === "prepared") {
      this.#events.prepared(Number(message["count"]), Number(message["memoryMb"]));
      return;
    }
    if (message["event"] === "log") {
      const level = message["level"] === "error" ? "error" : "warn";
      this.#logger[level](String(message["message"]), { source: this.#program.name });
      return;
    }
    const id = message["id"] as number;
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    const failure = message["error"] as BrokerFailure | undefined;
    if (failure === undefined) waiting.resolve(message["ok"] as Record<string, unknown>);
    else waiting.reject(brokerError(failure));
  }

  #onEnd(reason: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    for (const waiting of this.#waiting.values()) {
      clearTimeout(waiting.timer);
      waiting.reject(sandboxError("OL_SANDBOX_BROKER_LOST", reason));
    }
    this.#waiting.clear();
    this.#events.ended(reason, this.#closing);
  }
}

interface BrokerFailure {
  readonly code: string;
  readonly message: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

const brokerError = ({ code, message, details }: BrokerFailure): OlError => {
  const known: SandboxErrorCode =
    code in SANDBOX_ERRORS ? (code as SandboxErrorCode) : "OL_SANDBOX_CREATE_FAILED";
  return sandboxError(known, messageOf(message), details && { details });
};

/** The fields of an exit event are those of SandboxExit. */
const exitOf = ({ reason, code, signal, message, notStarted }: Record<string, unknown>): SandboxExit =>
  ({
    reason,
    ...(code !== undefined && { code }),
    ...(signal !== undefined && { signal }),
    ...(message !== undefined && { message }),
    ...(notStarted === true && { notStarted }),
  }) as SandboxExit;
