import { randomBytes } from "node:crypto";
import * as path from "node:path";

import { disk } from "./disk.ts";

/**
 * A file that is being written and does not count yet. Disposed of before `publish`, it is gone; so it is at the store's next start
 * if the process ended before, or if the disk refuses even that: whoever disposes of it has a better error to tell.
 */
export class TemporaryFile implements AsyncDisposable {
  readonly #path: string;
  #fd: number | undefined;
  #state: "open" | "synced" | "published" | "gone" = "open";

  private constructor(file: string, fd: number) {
    this.#path = file;
    this.#fd = fd;
  }

  /** In `directory`, under a name that nobody knows. */
  static async create(directory: string): Promise<TemporaryFile> {
    const file = path.join(directory, randomBytes(16).toString("hex"));
    // wx: a file that is there already is not ours, whoever made it.
    return new TemporaryFile(file, await disk.open(file, "wx", 0o600));
  }

  /** Several writes may be under way at once, and have to be over before `sync` or the end. */
  write(data: Uint8Array, position: number): Promise<void> {
    return disk.write(this.#openFd(), data, position);
  }

  /** Begins to bring to the disk what has been written, so that `sync` has less to do. A failure counts as one of `sync`. */
  flush(): Promise<void> {
    return disk.fdatasync(this.#openFd());
  }

  /** Brings the content to the disk. After a failure the file is worth nothing: the kernel reports each loss once only. */
  async sync(): Promise<void> {
    const fd = this.#openFd();
    await disk.fdatasync(fd);
    this.#fd = undefined;
    await disk.close(fd);
    this.#state = "synced";
  }

  /** Gives it the name by which it counts, in place of what had it. Only once it is synced. */
  async publish(target: string): Promise<void> {
    if (this.#state !== "synced") throw new Error(`a file that is ${this.#state} cannot be published`);
    await disk.rename(this.#path, target);
    this.#state = "published";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const fd = this.#fd;
    const named = this.#state === "open" || this.#state === "synced";
    this.#fd = undefined;
    if (this.#state !== "published") this.#state = "gone";
    const ends = [fd === undefined ? undefined : disk.close(fd), named ? disk.unlink(this.#path) : undefined];
    await Promise.allSettled(ends);
  }

  #openFd(): number {
    if (this.#fd === undefined) throw new Error("the temporary file is closed");
    return this.#fd;
  }
}
