import type { ListPage, ListRequest, ObjectInfo, Preconditions, PutRequest } from "../object-store.ts";
import { s3Error } from "../s3-error.ts";

import type { BlobHold } from "./blobs.ts";
import type { Bucket, StoredObject } from "./bucket.ts";
import { checkPreconditions } from "./conditions.ts";
import { listKeys } from "./listing.ts";
import { checkKey } from "./names.ts";
import { ObjectReader } from "./object-reader.ts";
import { type StoreParts, bucketOf } from "./store-parts.ts";

/** What is about to become an object; its content is on the disk. */
export interface NewObject {
  readonly info: Omit<ObjectInfo, "modifiedMs">;
  readonly md5: string;
  readonly uploadId?: string;
  /** Becomes the object's, or is released if there comes to be none. */
  readonly hold: BlobHold;
}

/** Where an object is. */
export interface ObjectPlace {
  readonly bucket: string;
  readonly key: string;
}

/** Reads, writes and removes objects. */
export class Objects {
  readonly #parts: StoreParts;

  constructor(parts: StoreParts) {
    this.#parts = parts;
  }

  /** The object; NoSuchKey. */
  find(bucket: string, key: string): StoredObject {
    const found = bucketOf(this.#parts, bucket).objects.get(key);
    if (found === undefined) throw s3Error("NoSuchKey", undefined, { details: { Key: key } });
    return found;
  }

  async read(bucket: string, key: string): Promise<ObjectReader> {
    const { info, hold } = this.find(bucket, key);
    // The object may be removed before its file is open; not its content.
    const kept = this.#parts.blobs.hold(hold.digest, hold.size);
    try {
      return await ObjectReader.open(info, this.#parts.layout.blob(info.digest));
    } finally {
      await kept.release();
    }
  }

  list(bucket: string, request: ListRequest): ListPage {
    const { values, commonPrefixes, next } = listKeys(bucketOf(this.#parts, bucket).objects, request);
    const objects = values.map(({ info }) => info);
    return { objects, commonPrefixes, ...(next === undefined ? {} : { next }) };
  }

  async put(bucketName: string, key: string, request: PutRequest, signal: AbortSignal): Promise<ObjectInfo> {
    checkKey(key);
    const bucket = bucketOf(this.#parts, bucketName);
    // Nobody sends a body for nothing; it is checked again when it counts.
    checkPreconditions(request, bucket.objects.get(key)?.info);
    this.#parts.directories.mayWrite();
    const { body, keep, headers } = request;
    const { file, digests } = await this.#parts.receiver.receive(body.bytes, body.algorithms, signal);
    await using _ = file;
    body.verify(digests);
    const { size, md5, sha256, checksums } = digests;
    const hold = await this.#parts.blobs.publish(file, sha256, size);
    const value = keep === undefined ? undefined : checksums.get(keep);
    return await this.commit(
      bucket,
      {
        info: {
          key,
          size,
          etag: md5,
          digest: sha256,
          headers,
          ...(keep === undefined || value === undefined
            ? {}
            : { checksum: { algorithm: keep, value, type: "FULL_OBJECT" as const } }),
        },
        md5,
        hold,
      },
      request,
    );
  }

  /** The target has the source's content, and its header fields if there are no others. */
  async copy(
    source: ObjectPlace,
    target: ObjectPlace,
    options: { readonly headers?: Readonly<Record<string, string>>; readonly conditions: Preconditions },
    signal: AbortSignal,
  ): Promise<ObjectInfo> {
    checkKey(target.key);
    const from = this.find(source.bucket, source.key);
    const bucket = bucketOf(this.#parts, target.bucket);
    signal.throwIfAborted();
    const { size, digest, headers, checksum } = from.info;
    return await this.commit(
      bucket,
      {
        info: {
          key: target.key,
          size,
          etag: from.md5,
          digest,
          headers: options.headers ?? headers,
          // One of parts says nothing of an object that has none.
          ...(checksum?.type === "FULL_OBJECT" ? { checksum } : {}),
        },
        md5: from.md5,
        hold: this.#parts.blobs.hold(digest, size),
      },
      options.conditions,
    );
  }

  /** Resolves with whether there was one. */
  async delete(bucketName: string, key: string, conditions: Preconditions): Promise<boolean> {
    const { locks, layout, records } = this.#parts;
    const bucket = bucketOf(this.#parts, bucketName);
    return await bucket.change(() =>
      locks.run(`object ${bucketName}/${key}`, async () => {
        const found = bucket.objects.get(key);
        checkPreconditions(conditions, found?.info);
        if (found === undefined) return false;
        await records.remove(layout.record(bucketName, key));
        bucket.objects.delete(key);
        await found.hold.release();
        return true;
      }),
    );
  }

  /**
   * Makes it the object of its key: the record that is written here is what counts. Fails if the preconditions do not hold now,
   * or as `diskError` says; there is then what was there before.
   */
  async commit(bucket: Bucket, made: NewObject, conditions: Preconditions): Promise<ObjectInfo> {
    const { locks, layout, records } = this.#parts;
    const { md5, uploadId, hold } = made;
    const { key } = made.info;
    const given = uploadId === undefined ? {} : { uploadId };
    try {
      return await bucket.change(() =>
        locks.run(`object ${bucket.name}/${key}`, async () => {
          checkPreconditions(conditions, bucket.objects.get(key)?.info);
          const info: ObjectInfo = { ...made.info, modifiedMs: Date.now() };
          const record = { kind: "object" as const, bucket: bucket.name, info, md5, ...given };
          await records.write(layout.record(bucket.name, key), record);
          const before = bucket.objects.set(key, { info, md5, hold, ...given });
          await before?.hold.release();
          return info;
        }),
      );
    } catch (error) {
      await hold.release();
      throw error;
    }
  }
}
