import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";

import { messageOf } from "./errors.ts";
import { FileWatch } from "./file-watch.ts";
import type { Logger } from "./logger.ts";
import { systemReason } from "./system-reason.ts";

/** A certificate, with those between it and the root, and its private key, in PEM. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/** The same, and where it came from: absolute paths. */
export interface TlsFiles extends TlsPair {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface TlsWatchOptions {
  /** As they were read last. */
  readonly files: TlsFiles;
  /** Serves with the pair from now on; it has been checked. */
  readonly use: (pair: TlsPair) => void;
  readonly logger: Logger;
}

/** Both files are replaced within this time, or there is a complaint between the two. */
const SETTLE_MS = 500;

/** Reads the files of a server's certificate anew when they change. What cannot be used is logged, and the last one that could be stays. */
export class TlsWatch implements AsyncDisposable {
  readonly #options: TlsWatchOptions;
  readonly #watch: FileWatch;
  #pair: TlsPair;
  #problem: string | undefined;
  #reading: Promise<void> = Promise.resolve();

  constructor(options: TlsWatchOptions) {
    this.#options = options;
    this.#pair = options.files;
    this.#watch = new FileWatch({
      files: [options.files.certFile, options.files.keyFile],
      settleMs: SETTLE_MS,
      changed: () => {
        this.#reading = this.#reading.then(() => this.#read());
      },
      failed: (reason) => this.#complain(`their directory cannot be watched: ${reason}`),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    await this.#reading;
  }

  async #read(): Promise<void> {
    const { files, use, logger } = this.#options;
    let pair: TlsPair;
    try {
      const [cert, key] = await Promise.all([
        readFile(files.certFile, "utf8"),
        readFile(files.keyFile, "utf8"),
      ]);
      pair = { cert, key };
    } catch (error) {
      return this.#complain(`they cannot be read: ${systemReason(error)}`);
    }
    if (pair.cert === this.#pair.cert && pair.key === this.#pair.key) {
      this.#problem = undefined;
      return;
    }
    try {
      // OpenSSL's words about a file that it cannot read hold nothing of the file.
      createSecureContext(pair);
      use(pair);
    } catch (error) {
      return this.#complain(messageOf(error));
    }
    this.#pair = pair;
    this.#problem = undefined;
    logger.info("the certificate was read anew; new connections get it", { file: files.certFile });
  }

  #complain(problem: string): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    const { certFile, keyFile } = this.#options.files;
    this.#options.logger.warn(
      "the certificate and its key cannot be used; those that were read before stay",
      {
        certFile,
        keyFile,
        problem,
      },
    );
  }
}
