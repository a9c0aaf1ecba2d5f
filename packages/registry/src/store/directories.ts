import { type Logger, messageOf } from "@ol/common";

import { s3Error } from "../s3-error.ts";

import { disk } from "./disk.ts";

/**
 * Brings renames and removals in the store's directories to the disk. Who comes while a directory is being synced waits for one
 * more sync, which all who wait share.
 *
 * If that fails once, nobody knows any more what is on the disk: which of two records a key has, for example. The kernel tells it
 * once only, so trying again would prove nothing. From then on nothing is written or removed; the next start reads what is there.
 */
export class Directories {
  readonly #logger: Logger;
  readonly #open = new Map<string, Promise<number>>();
  readonly #running = new Map<string, Promise<void>>();
  readonly #waiting = new Map<string, Promise<void>>();
  #failed = false;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Whether nothing may be written any more. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Fails with ServiceUnavailable if nothing may be written any more. */
  mayWrite(): void {
    if (!this.#failed) return;
    throw s3Error(
      "ServiceUnavailable",
      "The disk failed; nothing is written until the registry is started again.",
    );
  }

  /** Resolves when what was done in `directory` before this call is on the disk. */
  sync(directory: string): Promise<void> {
    const running = this.#running.get(directory);
    if (running === undefined) return this.#begin(directory);
    const waiting = this.#waiting.get(directory);
    if (waiting !== undefined) return waiting;
    const next = running
      .catch(() => undefined)
      .then(() => {
        this.#waiting.delete(directory);
        return this.#begin(directory);
      });
    this.#waiting.set(directory, next);
    return next;
  }

  /** Opens it, so that its first sync cannot fail for want of a descriptor. */
  async prepare(directory: string): Promise<void> {
    await this.#descriptor(directory);
  }

  async close(): Promise<void> {
    const opened = await Promise.allSettled(this.#open.values());
    this.#open.clear();
    for (const each of opened) if (each.status === "fulfilled") await disk.close(each.value);
  }

  #begin(directory: string): Promise<void> {
    const running = this.#fsync(directory).finally(() => this.#running.delete(directory));
    this.#running.set(directory, running);
    return running;
  }

  async #fsync(directory: string): Promise<void> {
    this.mayWrite();
    try {
      await disk.fsync(await this.#descriptor(directory));
    } catch (error) {
      this.#failed = true;
      this.#logger.error(
        "a directory could not be synced: nothing is written until the registry is started again",
        {
          directory,
          reason: messageOf(error),
        },
      );
      throw error;
    }
  }

  /** Kept open, as there are few: opening one takes as long as syncing it. */
  #descriptor(directory: string): Promise<number> {
    let descriptor = this.#open.get(directory);
    if (descriptor === undefined) {
      descriptor = disk.open(directory, "r");
      this.#open.set(directory, descriptor);
    }
    return descriptor;
  }
}
