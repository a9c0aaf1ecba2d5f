import * as fs from "node:fs/promises";
import * as path from "node:path";
import { setTimeout } from "node:timers/promises";

import { systemReason } from "@ol/common";

import type { BlockPool } from "./block-pool.ts";
import type { BlobHold } from "./blobs.ts";
import type { Bucket, StoredObject } from "./bucket.ts";
import { diskError, errnoOf, removeFile } from "./disk.ts";
import type { HashThreads } from "./hash-threads.ts";
import type { ObjectPlace } from "./objects.ts";
import type { Quarantine } from "./quarantine.ts";
import type { StoreParts } from "./store-parts.ts";
import type { StoredPart } from "./upload.ts";
import type { Uploads } from "./uploads.ts";

/** What a scrub found. */
export interface ScrubReport {
  /** Contents that were read, and their bytes. */
  readonly blobs: number;
  readonly bytes: number;
  /** What was set aside, since its content was not what was stored. */
  readonly damaged: readonly DamagedContent[];
  /** Files that nothing names: removed, or kept while there is something in quarantine. */
  readonly garbage: { readonly removed: number; readonly kept: number };
  /** Multipart uploads that were removed because nothing was done for them for long. */
  readonly uploads: number;
}

/** A content that was damaged, and the objects that are gone with it. */
export interface DamagedContent {
  readonly digest: string;
  readonly reason: string;
  readonly objects: readonly ObjectPlace[];
}

const DIGEST = /^[0-9a-f]{64}$/;

/** Reads every content again, at a bounded rate, beside all else that is done. */
export class Scrub {
  readonly #parts: StoreParts;
  readonly #uploads: Uploads;
  readonly #quarantine: Quarantine;
  readonly #threads: HashThreads;
  readonly #blocks: BlockPool;
  readonly #signal: AbortSignal;
  readonly #began = performance.now();
  readonly #damaged: DamagedContent[] = [];
  #blobs = 0;
  #bytes = 0;

  constructor(
    parts: StoreParts,
    tools: { uploads: Uploads; quarantine: Quarantine; threads: HashThreads; blocks: BlockPool },
    signal: AbortSignal,
  ) {
    this.#parts = parts;
    this.#uploads = tools.uploads;
    this.#quarantine = tools.quarantine;
    this.#threads = tools.threads;
    this.#blocks = tools.blocks;
    this.#signal = signal;
  }

  /** Rejects with the signal's reason, or if the disk fails otherwise than by a damaged content. */
  async run(): Promise<ScrubReport> {
    const uploads = await this.#uploads.abortUnused(Date.now() - this.#parts.limits.uploadAgeMs);
    for (const digest of this.#parts.blobs.digests()) await this.#check(digest);
    const garbage = await this.#collect();
    return { blobs: this.#blobs, bytes: this.#bytes, damaged: this.#damaged, garbage, uploads };
  }

  async #check(digest: string): Promise<void> {
    const { blobs } = this.#parts;
    const generation = blobs.generation(digest);
    // Removed since the scrub began.
    if (generation === undefined) return;
    // Twice: what is read may have been damaged on its way.
    const reason = (await this.#reasonAgainst(digest)) && (await this.#reasonAgainst(digest));
    this.#blobs += 1;
    if (reason !== undefined) await this.#setAside(digest, generation, reason);
  }

  /** All that names the content, then the content itself; nothing if it was removed meanwhile, or made whole by being uploaded again. */
  async #setAside(digest: string, generation: number, reason: string): Promise<void> {
    const { blobs, layout } = this.#parts;
    const same = (): boolean => blobs.generation(digest) === generation;
    if (!same()) return;
    const objects: ObjectPlace[] = [];
    const holds: BlobHold[] = [];
    for (const { bucket, object } of this.#objectsOf(digest)) {
      const key = object.info.key;
      const hold = await this.#setObjectAside(bucket, key, digest, same, reason);
      if (hold === undefined) continue;
      holds.push(hold);
      objects.push({ bucket: bucket.name, key });
    }
    holds.push(...(await this.#setPartsAside(digest, same, reason)));
    await blobs.alone(digest, async () => {
      if (same() && (await exists(layout.blob(digest))))
        await this.#quarantine.take(layout.blob(digest), reason);
    });
    for (const hold of holds) await hold.release();
    if (holds.length > 0) this.#damaged.push({ digest, reason, objects });
  }

  #objectsOf(digest: string): { bucket: Bucket; object: StoredObject }[] {
    return [...this.#parts.buckets.values()].flatMap((bucket) =>
      [...bucket.objects.values()]
        .filter((object) => object.info.digest === digest)
        .map((object) => ({ bucket, object })),
    );
  }

  async #setObjectAside(
    bucket: Bucket,
    key: string,
    digest: string,
    same: () => boolean,
    reason: string,
  ): Promise<BlobHold | undefined> {
    const { locks, layout } = this.#parts;
    return await bucket.change(() =>
      locks.run(`object ${bucket.name}/${key}`, async () => {
        const object = bucket.objects.get(key);
        if (object?.info.digest !== digest || !same()) return undefined;
        await this.#quarantine.take(
          layout.record(bucket.name, key),
          `its content ${digest} is damaged: ${reason}`,
        );
        bucket.objects.delete(key);
        return object.hold;
      }),
    );
  }

  async #setPartsAside(digest: string, same: () => boolean, reason: string): Promise<BlobHold[]> {
    const { locks, layout, uploads } = this.#parts;
    const holds: BlobHold[] = [];
    for (const id of uploads.keys()) {
      await locks.run(`upload ${id}`, async () => {
        const parts = uploads.get(id)?.parts ?? new Map<number, StoredPart>();
        for (const [partNumber, { info, hold }] of parts) {
          if (info.digest !== digest || !same()) continue;
          await this.#quarantine.take(
            layout.part(id, partNumber),
            `its content ${digest} is damaged: ${reason}`,
          );
          parts.delete(partNumber);
          holds.push(hold);
        }
      });
    }
    return holds;
  }

  /** Contents that nothing names: whoever removed the last name could not remove them. */
  async #collect(): Promise<{ removed: number; kept: number }> {
    const { blobs, layout } = this.#parts;
    let removed = 0;
    let kept = 0;
    for (const directory of layout.blobDirectories) {
      for (const name of await fs.readdir(directory)) {
        this.#signal.throwIfAborted();
        if (blobs.generation(name) !== undefined) continue;
        await blobs.alone(name, async () => {
          if (blobs.generation(name) !== undefined) return;
          // What is in quarantine may name it; and what has another name is somebody else's.
          if (this.#quarantine.count > 0 || !DIGEST.test(name)) kept += 1;
          else {
            await removeFile(path.join(directory, name));
            removed += 1;
          }
        });
      }
    }
    return { removed, kept };
  }

  /** What is wrong with the content, if anything is. */
  async #reasonAgainst(digest: string): Promise<string | undefined> {
    const job = this.#threads.open(["sha256"]);
    const block = this.#blocks.take();
    try {
      await using file = await fs.open(this.#parts.layout.blob(digest), "r");
      for (;;) {
        const { bytesRead } = await file.read(new Uint8Array(block), 0, block.byteLength, null);
        if (bytesRead === 0) break;
        await job.update(block, bytesRead);
        this.#bytes += bytesRead;
        await this.#pace();
      }
      const found = Buffer.from((await job.digest())[0]?.[1] ?? "", "base64").toString("hex");
      return found === digest ? undefined : `its SHA-256 is ${found}`;
    } catch (error) {
      const code = errnoOf(error);
      if (code === "EIO" || code === "ENOENT") return `it cannot be read: ${systemReason(error)}`;
      throw code === undefined ? error : diskError(error);
    } finally {
      job.close();
      this.#blocks.give(block);
    }
  }

  /** Waits until what was read is no more than the rate allows. */
  async #pace(): Promise<void> {
    const dueMs = (this.#bytes / this.#parts.limits.scrubBytesPerSecond) * 1000;
    const aheadMs = dueMs - (performance.now() - this.#began);
    if (aheadMs > 0) await setTimeout(aheadMs, undefined, { signal: this.#signal });
    else this.#signal.throwIfAborted();
  }
}

const exists = async (file: string): Promise<boolean> => {
  try {
    await fs.stat(file);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw diskError(error);
  }
};
