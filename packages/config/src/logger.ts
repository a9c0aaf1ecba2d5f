import { createWriteStream, openSync } from "node:fs";
import type { Writable } from "node:stream";

import { type Logger, messageOf } from "@ol/common";
import winston from "winston";

import { configError } from "./errors.ts";
import { redact } from "./redact.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface LoggerOptions {
  /** "" is standard output, "stderr" standard error, anything else a file that is appended to. */
  readonly output: string;
  readonly level?: LogLevel;
  /** On every line, such as the worker's name. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** A Logger that can be flushed. */
export interface OpenLogger extends Logger, AsyncDisposable {
  /** Settles when everything that was logged is written. Idempotent. */
  close(): Promise<void>;
}

/** How long `close` waits for a reader that does not read. */
const FLUSH_DEADLINE_MS = 2000;

const openFile = (path: string): Writable => {
  try {
    return createWriteStream(path, { fd: openSync(path, "a", 0o640) });
  } catch (error) {
    throw configError("OL_CONFIG_LOG_OUTPUT", `log_output: cannot open ${path}: ${messageOf(error)}`, {
      cause: error,
    });
  }
};

const openOutput = (output: string): Writable => {
  if (output === "") return process.stdout;
  return output === "stderr" ? process.stderr : openFile(output);
};

const line = winston.format.printf(({ level, message, time: _ours, ...fields }) =>
  JSON.stringify({ time: new Date().toISOString(), level, message, ...fields }),
);

const drained = (logger: winston.Logger, stream: Writable): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, FLUSH_DEADLINE_MS);
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    logger.once("finish", () => {
      // Standard streams outlive the logger; an empty write is answered after all before it.
      if (stream === process.stdout || stream === process.stderr) stream.write("", done);
      else stream.end(done);
    });
    logger.end();
  });

/**
 * A logger that writes one JSON object a line: `time`, `level`, `message`, and the fields. Values of fields with
 * secret-sounding names are replaced. Fails with OL_CONFIG_LOG_OUTPUT.
 */
export const createLogger = (options: LoggerOptions): OpenLogger => {
  const stream = openOutput(options.output);
  // A terminal that went away, or a full disk, must end neither the worker nor its calls.
  stream.on("error", () => undefined);
  const logger = winston.createLogger({
    level: options.level ?? "info",
    format: line,
    transports: [new winston.transports.Stream({ stream })],
  });
  const log =
    (level: LogLevel) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      const safe = redact({ ...options.fields, ...fields }) as Record<string, unknown>;
      logger.log({ ...safe, level, message });
    };
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= drained(logger, stream));
  return {
    debug: log("debug"),
    info: log("info"),
    warn: log("warn"),
    error: log("error"),
    close,
    [Symbol.asyncDispose]: close,
  };
};
