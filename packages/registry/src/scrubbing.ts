import { type Logger, messageOf } from "@ol/common";

import type { ObjectStore } from "./store/store.ts";

/** What is known of the last time that everything was read again. */
export interface ScrubState {
  readonly running: boolean;
  /** When it ended, in ms since 1970. */
  readonly endedMs?: number;
  /** How many contents were read, their bytes, and how many of them were damaged. */
  readonly blobs?: number;
  readonly bytes?: number;
  readonly damaged?: number;
  /** Why it did not get to its end. */
  readonly error?: string;
}

/** A server that is started every day should get to it as well. */
const FIRST_AFTER_MS = 600_000;

/** Has the store read everything again now and then. */
export class Scrubbing implements AsyncDisposable {
  readonly #store: ObjectStore;
  readonly #logger: Logger;
  readonly #everyMs: number;
  readonly #stop = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #current: Promise<void> | undefined;
  #last: Omit<ScrubState, "running"> = {};

  /** `everyMs` 0 is never. */
  constructor(store: ObjectStore, everyMs: number, logger: Logger) {
    this.#store = store;
    this.#everyMs = everyMs;
    this.#logger = logger;
    if (everyMs > 0) this.#plan(Math.min(everyMs, FIRST_AFTER_MS));
  }

  get state(): ScrubState {
    return { running: this.#current !== undefined, ...this.#last };
  }

  /** Stops, also in the middle. Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    this.#stop.abort();
    await this.#current;
  }

  #plan(afterMs: number): void {
    if (this.#stop.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#current = this.#run().finally(() => {
        this.#current = undefined;
        this.#plan(this.#everyMs);
      });
    }, afterMs);
    this.#timer.unref();
  }

  async #run(): Promise<void> {
    try {
      const report = await this.#store.scrub(this.#stop.signal);
      const { blobs, bytes, damaged } = report;
      this.#last = { endedMs: Date.now(), blobs, bytes, damaged: damaged.length };
      if (damaged.length === 0) this.#logger.info("read everything again", { report });
      else this.#logger.error("read everything again; what is damaged was set aside", { report });
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.#last = { ...this.#last, endedMs: Date.now(), error: messageOf(error) };
      this.#logger.error("reading everything again failed", { error });
    }
  }
}
