import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import type { Readable, Writable } from "node:stream";

import { messageOf, systemReason } from "@ol/common";
import type { Environment } from "@ol/config";

import { adminError } from "../errors.ts";
import { escapeControls } from "../text.ts";
import type { TakeOver } from "../worker/take-over.ts";
import { type ProcessIdentity, identityOf } from "./identity.ts";
import { lastWords } from "./last-words.ts";
import { Lines } from "./lines.ts";
import { removePidFile, writePidFile } from "./pid-file.ts";
import { stopProcess } from "./stop.ts";

/** What a worker, a registry or a load balancer is started from. */
export interface Launch {
  readonly name: string;
  /** With which it fails. */
  readonly failure: "OL_ADMIN_WORKER_FAILED" | "OL_ADMIN_REGISTRY_FAILED" | "OL_ADMIN_BALANCER_FAILED";
  /** Comes before the command: a scope to run it in. */
  readonly scope: readonly string[];
  readonly command: readonly string[];
  readonly configFile: string;
  readonly outFile: string;
  readonly pidFile: string;
  /** Where a worker hands its listening sockets over to its successor. */
  readonly handOverPath?: string;
  readonly environment: Environment;
  readonly signal: AbortSignal;
  /** How long it may take to get ready; default 60 s. */
  readonly deadlineMs?: number;
}

/** A program of ours starts in well under a second; a machine that swaps may need far longer. */
const READY_MS = 60_000;
const STOP_MS = 5000;
const READY_FD = 3;
const GO_FD = 4;

/** ol-admin decides these for each process; one value from the shell for all of them could only be wrong. */
const OURS = new Set([
  "OL_WORKER_PORT",
  "OL_WORKER_DIR",
  "OL_READY_FD",
  "OL_GO_FD",
  "OL_LISTEN_FDS",
  "OL_HANDOVER",
  "OL_CLUSTER",
  "OL_REGISTRY_PORT",
  "OL_REGISTRY_KEYS",
  "OL_PORT",
  "OL_POLICY",
  "OL_WORKERS_FILE",
  // What setup.sh of an application is given is an address to call, and the balancer's key of that name one to listen on.
  "OL_URL",
]);

const environmentOf = ({ environment, handOverPath }: Launch): Record<string, string | undefined> => ({
  ...Object.fromEntries(Object.entries(environment).filter(([name]) => !OURS.has(name))),
  OL_READY_FD: String(READY_FD),
  ...(handOverPath !== undefined && { OL_HANDOVER: handOverPath }),
});

const openOut = (file: string): number => {
  try {
    return openSync(
      file,
      constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW,
      0o640,
    );
  } catch (error) {
    throw adminError("OL_ADMIN_FILE", `cannot write ${file}: ${systemReason(error)}`, {
      cause: error,
    });
  }
};

const failed = (launch: Launch, why: string, cause?: unknown): Error =>
  adminError(launch.failure, `${launch.name} did not start: ${why}`, cause === undefined ? {} : { cause });

/** A process from its start on, and what it says. */
class LaunchedProcess {
  readonly launch: Launch;
  /** Undefined if it is gone already, or was never there. */
  readonly identity: ProcessIdentity | undefined;
  readonly #child: ChildProcess;
  readonly #lines: Lines;
  readonly #outOffset: number;
  readonly #notStarted: Promise<never>;

  /** `waiting`: it is to wait until it is told to begin. `words` come before the worker's own command. */
  constructor(launch: Launch, waiting: boolean, words: readonly string[] = []) {
    this.launch = launch;
    const out = openOut(launch.outFile);
    this.#outOffset = fstatSync(out).size;
    const [program = process.execPath, ...first] = [...launch.scope, ...words, ...launch.command];
    this.#child = spawn(program, [...first, "--config", launch.configFile], {
      cwd: "/",
      detached: true,
      env: { ...environmentOf(launch), ...(waiting && { OL_GO_FD: String(GO_FD) }) },
      stdio: ["ignore", out, out, "pipe", ...(waiting ? (["pipe"] as const) : [])],
    });
    closeSync(out);
    this.#notStarted = new Promise<never>((_resolve, reject) => {
      this.#child.once("error", (error) => reject(failed(launch, messageOf(error), error)));
    });
    // Also rejected while nobody waits any more, after the child is ready.
    this.#notStarted.catch(() => undefined);
    this.#lines = new Lines(this.#child.stdio[READY_FD] as Readable);
    this.identity = this.#child.pid === undefined ? undefined : identityOf(this.#child.pid);
    this.#child.unref();
  }

  /** Lets one that waits begin. If it is gone, its next word says so. */
  begin(): void {
    const pipe = this.#child.stdio[GO_FD] as Writable;
    pipe.on("error", () => undefined);
    pipe.end("go\n");
  }

  /** Settles with what follows `word` in the line that it says next. */
  says(word: "listening" | "waiting" | "ready"): Promise<string> {
    return Promise.race([this.#says(word), this.#notStarted]);
  }

  /** Ends it, if it lives. */
  async end(): Promise<void> {
    if (this.identity !== undefined) await stopProcess(this.identity, STOP_MS);
    this.release();
  }

  /** It goes on without us. */
  release(): void {
    this.#lines.close();
    (this.#child.stdio[GO_FD] as Writable | undefined)?.destroy();
  }

  async #says(word: string): Promise<string> {
    const { launch } = this;
    const deadlineMs = launch.deadlineMs ?? READY_MS;
    const deadline = AbortSignal.timeout(deadlineMs);
    const words = (): string => lastWords(launch.outFile, this.#outOffset) ?? "none";
    let line: string | undefined;
    try {
      line = await this.#lines.next(AbortSignal.any([launch.signal, deadline]));
    } catch (error) {
      if (!deadline.aborted) throw error;
      throw failed(launch, `it was not ready after ${deadlineMs / 1000} s; its last words: ${words()}`);
    }
    const [said, ...rest] = (line ?? "").split(" ");
    const text = escapeControls(rest.join(" ").trim());
    if (said === word) return text;
    if (said === "error") throw failed(launch, text === "" ? "it gave no reason" : text);
    throw failed(launch, `it ended; its last words: ${words()}`);
  }
}

/** A process that is ready. */
export interface ReadyProcess {
  readonly url: string;
  readonly process: ProcessIdentity;
}

const untilReady = async (launched: LaunchedProcess): Promise<ReadyProcess> => {
  const { launch, identity } = launched;
  if (identity !== undefined) writePidFile(launch.pidFile, identity);
  try {
    const url = await launched.says("ready");
    if (identity === undefined) throw failed(launch, "its process is gone");
    launched.release();
    return { url, process: identity };
  } catch (error) {
    await launched.end();
    removePidFile(launch.pidFile);
    throw error;
  }
};

/**
 * Starts a process that outlives us and our terminal, in a session of its own, its output appended to a
 * file. Settles when it is ready, with its URL. Otherwise it is ended again, its pid file is gone, and the error says
 * what it said.
 */
export const launchProcess = (launch: Launch): Promise<ReadyProcess> =>
  untilReady(new LaunchedProcess(launch, false));

/** A worker's process that waits, with all it could do in advance done, for the one that it replaces to be gone. */
export interface Successor {
  /** As `launchProcess`; the pid file is its own from here on. */
  begin(): Promise<ReadyProcess>;
  /** It is not wanted any more. */
  dismiss(): Promise<void>;
}

/**
 * Starts a successor, and settles when it waits; it has the old worker's listening sockets by then, if there is a `takeOver`.
 * It ends with us. Fails with OL_ADMIN_WORKER_FAILED.
 */
export const prepareWorker = async (launch: Launch, takeOver: TakeOver | undefined): Promise<Successor> => {
  const launched = new LaunchedProcess(launch, true, takeOver?.words);
  try {
    if (takeOver !== undefined) {
      await launched.says("listening");
      takeOver.request();
    }
    await launched.says("waiting");
  } catch (error) {
    await launched.end();
    throw error;
  }
  return {
    begin: () => {
      launched.begin();
      return untilReady(launched);
    },
    dismiss: () => launched.end(),
  };
};
