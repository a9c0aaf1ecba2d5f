import { createWriteStream, type WriteStream } from "node:fs";
import { finished } from "node:stream/promises";

import { type Logger, messageOf, silentLogger } from "@ol/common";

import { formatTrace, type TraceRecord } from "./trace.ts";

/** What waits for a slow disk. */
const MOST_BUFFERED_BYTES = 4 * 1_048_576;

/** What a TraceWriter is made from. */
export interface TraceWriterOptions {
  /** Appended to; made if it is not there. */
  readonly path: string;
  /** Where is logged what people should know; default: nowhere. */
  readonly logger?: Logger;
}

/**
 * Appends records to a file, one line each. Never makes a call wait: what the disk does not take in time is not written,
 * and counted. A file that cannot be written to is told once, and ends the trace.
 */
export class TraceWriter implements AsyncDisposable {
  readonly #stream: WriteStream;
  readonly #logger: Logger;
  readonly #path: string;
  #state: "open" | "failed" | "closed" = "open";
  #written = 0;
  #dropped = 0;

  constructor({ path, logger = silentLogger }: TraceWriterOptions) {
    this.#path = path;
    this.#logger = logger;
    this.#stream = createWriteStream(path, { flags: "a", mode: 0o600 });
    this.#stream.on("error", (error) => this.#failed(error));
  }

  /** Records handed to the file. */
  get written(): number {
    return this.#written;
  }

  /** Records that were lost: the disk was too slow, or cannot be written to. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Hands a record to the file, or drops it: at once in either case. */
  write(record: TraceRecord): void {
    if (this.#state !== "open" || this.#stream.writableLength > MOST_BUFFERED_BYTES) {
      this.#dropped += 1;
      return;
    }
    this.#written += 1;
    this.#stream.write(`${formatTrace(record)}\n`);
  }

  /** Writes what waits, and closes the file. Never rejects; what comes later is dropped. Idempotent. */
  async close(): Promise<void> {
    if (this.#state === "open") {
      this.#state = "closed";
      this.#stream.end();
    }
    try {
      await finished(this.#stream);
    } catch (error) {
      this.#failed(error);
    }
    if (this.#dropped > 0)
      this.#logger.warn("the trace lacks calls", { path: this.#path, dropped: this.#dropped });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #failed(error: unknown): void {
    if (this.#state === "failed") return;
    this.#state = "failed";
    this.#logger.error("the trace cannot be written, and ends", {
      path: this.#path,
      error: messageOf(error),
    });
  }
}
