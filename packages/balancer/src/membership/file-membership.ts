import { readFile } from "node:fs/promises";

import { FileWatch, type Logger, messageOf, silentLogger, systemReason } from "@ol/common";

import type { WorkerAddress } from "../options.ts";
import { readAddresses } from "./address.ts";
import type { Membership } from "./membership.ts";

/** What is written in several steps is read once. */
const SETTLE_MS = 50;

export interface FileMembershipOptions {
  /** A JSON list of workers: URLs, or objects {id, url, slots}. */
  readonly file: string;
  readonly logger?: Logger;
}

/**
 * Workers as a file lists them, read again whenever it changes. While it is missing or cannot be read, what it said last
 * stays: half a file must not take a cluster away.
 */
export class FileMembership implements Membership {
  readonly name = "file";
  readonly #file: string;
  readonly #logger: Logger;
  #tell: (workers: readonly WorkerAddress[]) => void = () => undefined;
  #watch: FileWatch | undefined;
  #text: string | undefined;
  #problem: string | undefined;
  #reading: Promise<void> = Promise.resolve();
  #closed = false;

  constructor({ file, logger = silentLogger }: FileMembershipOptions) {
    this.#file = file;
    this.#logger = logger;
  }

  start(tell: (workers: readonly WorkerAddress[]) => void): Promise<void> {
    this.#tell = tell;
    this.#watch = new FileWatch({
      files: [this.#file],
      settleMs: SETTLE_MS,
      changed: () => {
        this.#reading = this.#reading.then(() => this.#read());
      },
      failed: (reason) => this.#complain(`its directory cannot be watched: ${reason}`),
    });
    return this.#reading;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#watch?.[Symbol.dispose]();
    await this.#reading;
  }

  async #read(): Promise<void> {
    let text: string;
    try {
      text = await readFile(this.#file, "utf8");
    } catch (error) {
      return this.#complain(`it cannot be read: ${systemReason(error)}`);
    }
    if (this.#closed || text === this.#text) return;
    const workers = addressesIn(text);
    if (typeof workers === "string") return this.#complain(workers);
    this.#text = text;
    this.#problem = undefined;
    this.#tell(workers);
  }

  #complain(problem: string): void {
    if (problem === this.#problem || this.#closed) return;
    this.#problem = problem;
    this.#logger.warn("the list of workers cannot be used; what it said before stays", {
      file: this.#file,
      problem,
    });
  }
}

const addressesIn = (text: string): readonly WorkerAddress[] | string => {
  try {
    return readAddresses(JSON.parse(text));
  } catch (error) {
    return `it is no JSON: ${messageOf(error)}`;
  }
};
