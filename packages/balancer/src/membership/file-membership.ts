import { type FSWatcher, watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";

import { type Logger, messageOf, silentLogger, systemReason } from "@ol/common";

import { type Clock, machineClock } from "../clock.ts";
import type { WorkerAddress } from "../options.ts";
import { readAddresses } from "./address.ts";
import type { Membership } from "./membership.ts";

/** What is written in several steps is read once. */
const SETTLE_MS = 50;
/** A directory that cannot be watched is tried again after this time. */
const RETRY_MS = 5_000;

export interface FileMembershipOptions {
  /** A JSON list of workers: URLs, or objects {id, url, slots}. */
  readonly file: string;
  readonly clock?: Clock;
  readonly logger?: Logger;
}

/**
 * Workers as a file lists them, read again whenever it changes. While it is missing or cannot be read, what it said last
 * stays: half a file must not take a cluster away.
 */
export class FileMembership implements Membership {
  readonly name = "file";
  readonly #file: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #tell: (workers: readonly WorkerAddress[]) => void = () => undefined;
  #watcher: FSWatcher | undefined;
  #cancel: (() => void) | undefined;
  #text: string | undefined;
  #problem: string | undefined;
  #reading: Promise<void> = Promise.resolve();
  #closed = false;

  constructor({ file, clock = machineClock, logger = silentLogger }: FileMembershipOptions) {
    this.#file = file;
    this.#clock = clock;
    this.#logger = logger;
  }

  start(tell: (workers: readonly WorkerAddress[]) => void): Promise<void> {
    this.#tell = tell;
    this.#watch();
    return this.#reading;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel?.();
    this.#watcher?.close();
    await this.#reading;
  }

  /** Of the directory: the file may be replaced by another, or by a link to another (as Kubernetes does). */
  #watch(): void {
    if (this.#closed) return;
    try {
      this.#watcher = watch(dirname(this.#file), () => this.#readSoon(SETTLE_MS));
      this.#watcher.on("error", (error) => this.#unwatchable(error));
    } catch (error) {
      this.#unwatchable(error);
      return;
    }
    // After the watch has begun: what changes in between is read now, or heard of.
    this.#readNow();
  }

  #unwatchable(error: unknown): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#complain(`its directory cannot be watched: ${systemReason(error)}`);
    this.#cancel?.();
    this.#cancel = this.#clock.after(RETRY_MS, () => this.#watch());
  }

  #readSoon(ms: number): void {
    if (this.#closed) return;
    this.#cancel?.();
    this.#cancel = this.#clock.after(ms, () => this.#readNow());
  }

  #readNow(): void {
    this.#reading = this.#reading.then(() => this.#read());
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
