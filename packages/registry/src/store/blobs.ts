import * as path from "node:path";

import { type Logger, messageOf } from "@ol/common";

import type { Directories } from "./directories.ts";
import { removeFile } from "./disk.ts";
import { KeyedLock } from "./keyed-lock.ts";
import type { Layout } from "./layout.ts";
import type { TemporaryFile } from "./temporary-file.ts";

/** One reason for which a content stays. The file is removed with the last one. */
export interface BlobHold {
  readonly digest: string;
  /** In bytes. */
  readonly size: number;
  /** Never fails: what cannot be removed now is found at the next start. */
  release(): Promise<void>;
}

interface Blob {
  readonly size: number;
  holds: number;
  /** Which of several files that had this digest, one after another, it is. */
  generation: number;
}

/**
 * The contents, each kept once under its SHA-256 for as long as somebody holds it. All that puts a file there or takes it away goes
 * one after another for each digest: a removal would otherwise race with an upload of the same content.
 */
export class Blobs {
  readonly #layout: Layout;
  readonly #directories: Directories;
  readonly #logger: Logger;
  readonly #locks = new KeyedLock();
  readonly #blobs = new Map<string, Blob>();
  #bytes = 0;
  #generations = 0;

  constructor(layout: Layout, directories: Directories, logger: Logger) {
    this.#layout = layout;
    this.#directories = directories;
    this.#logger = logger;
  }

  get count(): number {
    return this.#blobs.size;
  }

  /** Of all contents together, each counted once. */
  get bytes(): number {
    return this.#bytes;
  }

  digests(): readonly string[] {
    return [...this.#blobs.keys()];
  }

  /** Undefined if there is no content of that digest. */
  generation(digest: string): number | undefined {
    return this.#blobs.get(digest)?.generation;
  }

  /**
   * Makes the file the content of that digest and resolves when it is on the disk. It takes the place of one that is there already:
   * what was uploaded again because the kept one had gone bad is then whole.
   */
  publish(file: TemporaryFile, digest: string, size: number): Promise<BlobHold> {
    return this.alone(digest, async () => {
      this.#directories.mayWrite();
      await file.sync();
      const target = this.#layout.blob(digest);
      await file.publish(target);
      await this.#directories.sync(path.dirname(target));
      const blob = this.#blobs.get(digest);
      if (blob !== undefined) blob.generation = this.#generations += 1;
      return this.hold(digest, size);
    });
  }

  /** One more reason to keep the content of that digest, which somebody else holds or which was found on the disk. */
  hold(digest: string, size: number): BlobHold {
    let blob = this.#blobs.get(digest);
    if (blob === undefined) {
      blob = { size, holds: 0, generation: (this.#generations += 1) };
      this.#blobs.set(digest, blob);
      this.#bytes += size;
    }
    blob.holds += 1;
    let released: Promise<void> | undefined;
    return { digest, size, release: () => (released ??= this.#release(digest, blob)) };
  }

  /** Runs `act` while nobody puts or removes the content of that digest. */
  alone<Result>(digest: string, act: () => Promise<Result>): Promise<Result> {
    return this.#locks.run(digest, act);
  }

  async #release(digest: string, blob: Blob): Promise<void> {
    blob.holds -= 1;
    if (blob.holds > 0) return;
    await this.alone(digest, async () => {
      // Somebody may have uploaded the same meanwhile. After a failed sync the disk may still have records that name it.
      if (blob.holds > 0 || this.#blobs.get(digest) !== blob || this.#directories.failed) return;
      this.#forget(digest, blob);
      try {
        await removeFile(this.#layout.blob(digest));
      } catch (error) {
        this.#logger.warn("a content that nothing names could not be removed; the next start tries again", {
          digest,
          reason: messageOf(error),
        });
      }
    });
  }

  #forget(digest: string, blob: Blob): void {
    this.#blobs.delete(digest);
    this.#bytes -= blob.size;
  }
}
