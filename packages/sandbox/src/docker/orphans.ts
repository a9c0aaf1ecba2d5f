import { isOlError, type Logger, messageOf } from "@ol/common";

import type { ContainerDaemon } from "./daemon.ts";

const AGAIN_MS = 2_000;

/** Containers that could not be removed when they were to be: removed as soon as the daemon lets us. */
export class Orphans {
  readonly #daemon: ContainerDaemon;
  readonly #logger: Logger;
  /** By container id, what is to be done once it is gone. */
  readonly #owed = new Map<string, () => Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #work: Promise<void> | undefined;
  #closed = false;

  constructor(daemon: ContainerDaemon, logger: Logger) {
    this.#daemon = daemon;
    this.#logger = logger;
  }

  get count(): number {
    return this.#owed.size;
  }

  owe(id: string, then: () => Promise<void>): void {
    this.#owed.set(id, then);
    this.#later();
  }

  /** One last time. What stays, the next engine of this worker removes. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#work;
    await this.#pay();
  }

  #later(): void {
    if (this.#closed || this.#timer !== undefined || this.#owed.size === 0) return;
    // Nobody tells when a daemon is back.
    this.#timer = setTimeout(() => {
      this.#work = this.#pay().finally(() => {
        this.#timer = undefined;
        this.#later();
      });
    }, AGAIN_MS);
  }

  async #pay(): Promise<void> {
    for (const [id, then] of this.#owed) {
      try {
        await this.#daemon.remove(id);
        this.#owed.delete(id);
        await then();
      } catch (error) {
        // The next one would not be removed either.
        if (isOlError(error, "OL_SANDBOX_DAEMON_UNAVAILABLE")) return;
        this.#logger.warn("a container could not be removed", { container: id, error: messageOf(error) });
      }
    }
  }
}
