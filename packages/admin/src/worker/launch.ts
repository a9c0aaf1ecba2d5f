import { spawn } from "node:child_process";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import type { Readable } from "node:stream";

import { messageOf, systemReason } from "@ol/common";
import type { Environment } from "@ol/config";

import { adminError } from "../errors.ts";
import { type ProcessIdentity, identityOf } from "../process/identity.ts";
import { removePidFile, writePidFile } from "../process/pid-file.ts";
import { stopProcess } from "../process/stop.ts";
import { escapeControls } from "../text.ts";

/** What a worker is started from. */
export interface Launch {
  readonly name: string;
  readonly command: readonly string[];
  readonly configFile: string;
  readonly outFile: string;
  readonly pidFile: string;
  readonly environment: Environment;
  readonly signal: AbortSignal;
  /** How long it may take to get ready; default 60 s. */
  readonly deadlineMs?: number;
}

/** A worker starts in well under a second; a machine that swaps may need far longer. */
const READY_MS = 60_000;
const STOP_MS = 5000;
const READY_FD = 3;
const MAX_WORDS = 8192;
const TAIL_BYTES = 4096;

/** ol-admin decides these for each worker; one value from the shell for all of them could only be wrong. */
const OURS = new Set(["OL_WORKER_PORT", "OL_WORKER_DIR", "OL_READY_FD", "OL_CLUSTER"]);

const environmentOf = (environment: Environment): Record<string, string | undefined> => ({
  ...Object.fromEntries(Object.entries(environment).filter(([name]) => !OURS.has(name))),
  OL_READY_FD: String(READY_FD),
});

/** The first line that arrives, or undefined at the end of the stream; fails at the deadline or by the signal. */
const firstLine = (stream: Readable, signal: AbortSignal): Promise<string | undefined> =>
  new Promise((resolve, reject) => {
    let text = "";
    const finish = (act: () => void): void => {
      signal.removeEventListener("abort", stop);
      stream.destroy();
      act();
    };
    const stop = (): void => finish(() => reject(signal.reason as Error));
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    stream.on("data", (data: Buffer) => {
      text += data.toString("utf8");
      const end = text.indexOf("\n");
      if (end >= 0 || text.length > MAX_WORDS)
        finish(() => resolve(text.slice(0, end < 0 ? MAX_WORDS : end)));
    });
    stream.once("error", () => finish(() => resolve(undefined)));
    stream.once("close", () => finish(() => resolve(undefined)));
    return undefined;
  });

const messageIn = (line: string): string => {
  try {
    const parsed: unknown = JSON.parse(line);
    if (typeof parsed === "object" && parsed !== null && "message" in parsed) return String(parsed.message);
  } catch {
    // Not one of the worker's log lines: the text itself, then.
  }
  return line;
};

/** The last thing a process said since `offset` of its output file. */
const lastWords = (file: string, offset: number): string | undefined => {
  const fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const size = fstatSync(fd).size;
    const start = Math.max(offset, size - TAIL_BYTES);
    const buffer = Buffer.alloc(Math.max(0, size - start));
    readSync(fd, buffer, 0, buffer.length, start);
    const lines = buffer.toString("utf8").split("\n");
    const last = lines.filter((line) => line.trim() !== "").at(-1);
    return last === undefined ? undefined : escapeControls(messageIn(last));
  } finally {
    closeSync(fd);
  }
};

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
  adminError(
    "OL_ADMIN_WORKER_FAILED",
    `${launch.name} did not start: ${why}`,
    cause === undefined ? {} : { cause },
  );

/** Waits until the worker says `ready URL`; returns the URL, or throws what it says instead. */
const awaitReady = async (launch: Launch, pipe: Readable, outOffset: number): Promise<string> => {
  const deadlineMs = launch.deadlineMs ?? READY_MS;
  const deadline = AbortSignal.timeout(deadlineMs);
  let line: string | undefined;
  try {
    line = await firstLine(pipe, AbortSignal.any([launch.signal, deadline]));
  } catch (error) {
    if (!deadline.aborted) throw error;
    throw failed(
      launch,
      `it was not ready after ${deadlineMs / 1000} s; its last words: ${lastWords(launch.outFile, outOffset) ?? "none"}`,
    );
  }
  const [word, ...rest] = (line ?? "").split(" ");
  const text = escapeControls(rest.join(" ").trim());
  if (word === "ready" && text !== "") return text;
  if (word === "error") throw failed(launch, text === "" ? "it gave no reason" : text);
  throw failed(launch, `it ended; its last words: ${lastWords(launch.outFile, outOffset) ?? "none"}`);
};

/**
 * Starts a worker that outlives us and our terminal, in a session of its own, its output appended to a file.
 * Settles when it is ready, with its URL. Otherwise it is ended again, its pid file is gone, and the error
 * OL_ADMIN_WORKER_FAILED says what it said.
 */
export const launchWorker = async (
  launch: Launch,
): Promise<{ readonly url: string; readonly process: ProcessIdentity }> => {
  const out = openOut(launch.outFile);
  const outOffset = fstatSync(out).size;
  const [program = process.execPath, ...first] = launch.command;
  const child = spawn(program, [...first, "--config", launch.configFile], {
    cwd: "/",
    detached: true,
    env: environmentOf(launch.environment),
    stdio: ["ignore", out, out, "pipe"],
  });
  closeSync(out);
  const notStarted = new Promise<never>((_resolve, reject) => {
    child.once("error", (error) => reject(failed(launch, messageOf(error), error)));
  });
  // Also rejected while nobody waits any more, after the child is ready.
  notStarted.catch(() => undefined);
  const identity = child.pid === undefined ? undefined : identityOf(child.pid);
  if (identity !== undefined) writePidFile(launch.pidFile, identity);
  child.unref();
  try {
    const url = await Promise.race([
      awaitReady(launch, child.stdio[READY_FD] as Readable, outOffset),
      notStarted,
    ]);
    if (identity === undefined) throw failed(launch, "its process is gone");
    return { url, process: identity };
  } catch (error) {
    if (identity !== undefined) await stopProcess(identity, STOP_MS);
    removePidFile(launch.pidFile);
    throw error;
  }
};
