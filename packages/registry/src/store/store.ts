import * as fs from "node:fs";
import { availableParallelism } from "node:os";
import * as path from "node:path";

import { CleanupStack, type HeldLock, type Logger, isOlError, silentLogger, systemReason } from "@ol/common";

import { registryError } from "../errors.ts";
import type {
  IncomingBody,
  ListPage,
  ListRequest,
  ObjectInfo,
  Preconditions,
  PutRequest,
} from "../object-store.ts";

import { BlockPool } from "./block-pool.ts";
import { Blobs } from "./blobs.ts";
import { BodyReceiver } from "./body-receiver.ts";
import type { Bucket } from "./bucket.ts";
import { Buckets } from "./buckets.ts";
import { prepareDirectory } from "./data-directory.ts";
import { Directories } from "./directories.ts";
import { lockDirectory } from "./directory-lock.ts";
import { HashThreads } from "./hash-threads.ts";
import { KeyedLock } from "./keyed-lock.ts";
import { Layout } from "./layout.ts";
import type { NamedPart } from "./multipart.ts";
import type { ByteRange, ObjectReader } from "./object-reader.ts";
import { type ObjectPlace, Objects } from "./objects.ts";
import { Quarantine } from "./quarantine.ts";
import { RecordFiles } from "./record-files.ts";
import { Recovery } from "./recovery.ts";
import { Scrub, type ScrubReport } from "./scrub.ts";
import { SortedKeys } from "./sorted-keys.ts";
import { DEFAULT_STORE_LIMITS, type StoreLimits, type StoreParts, bucketOf } from "./store-parts.ts";
import type { PartInfo, Upload } from "./upload.ts";
import {
  type PartsPage,
  type UploadsPage,
  type UploadsRequest,
  listParts,
  listUploads,
} from "./upload-listing.ts";
import { type UploadRequest, Uploads } from "./uploads.ts";

export interface ObjectStoreOptions {
  /** Made if it is not there. */
  readonly directory: string;
  readonly logger?: Logger;
  readonly limits?: Partial<StoreLimits>;
}

/** What is stored, for status and metrics. */
export interface StoreStats {
  readonly buckets: number;
  readonly objects: number;
  /** Of all objects together, in bytes. */
  readonly bytes: number;
  /** Contents, each counted once, those of unfinished uploads among them. */
  readonly blobs: number;
  readonly blobBytes: number;
  readonly uploads: number;
  /** Files that were set aside because they are damaged. */
  readonly quarantined: number;
  /** False after a failed sync of a directory: until the next start nothing is written. */
  readonly writable: boolean;
}

/** What an open store is made of. */
interface Opened {
  readonly parts: StoreParts;
  readonly quarantine: Quarantine;
  readonly threads: HashThreads;
  readonly blocks: BlockPool;
  readonly lock: HeldLock;
}

/**
 * Objects in buckets, in one directory, as S3 has them. What is answered is on the disk: content and record are synced before. Failures
 * are S3Errors; those of the disk have the system's error as their cause.
 */
export class ObjectStore implements AsyncDisposable {
  readonly #opened: Opened;
  readonly #parts: StoreParts;
  readonly #objects: Objects;
  readonly #uploads: Uploads;
  readonly #buckets: Buckets;
  #closed: Promise<void> | undefined;

  private constructor(opened: Opened) {
    this.#opened = opened;
    this.#parts = opened.parts;
    this.#objects = new Objects(opened.parts);
    this.#uploads = new Uploads(opened.parts, this.#objects);
    this.#buckets = new Buckets(opened.parts, this.#uploads);
  }

  /**
   * Takes the directory, removes what unfinished writes left, and reads every record. Fails with OL_REGISTRY_IN_USE or
   * OL_REGISTRY_BAD_DIRECTORY.
   */
  static async open(options: ObjectStoreOptions): Promise<ObjectStore> {
    const undo = new CleanupStack();
    try {
      const opened = await openDirectory(options, undo);
      undo.release();
      return new ObjectStore(opened);
    } catch (error) {
      await undo.run();
      if (isOlError(error)) throw error;
      const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
      throw registryError(
        "OL_REGISTRY_BAD_DIRECTORY",
        `${path.resolve(options.directory)} cannot be used: ${systemReason(cause)}`,
        { cause: error, details: { directory: options.directory } },
      );
    }
  }

  /** By their names. */
  buckets(): readonly Pick<Bucket, "name" | "createdMs">[] {
    return this.#buckets.list().map(({ name, createdMs }) => ({ name, createdMs }));
  }

  hasBucket(name: string): boolean {
    return this.#parts.buckets.get(name)?.open === true;
  }

  /** Fails with InvalidBucketName, BucketAlreadyOwnedByYou or TooManyBuckets. */
  createBucket(name: string): Promise<void> {
    return this.#buckets.create(name);
  }

  /** Its unfinished uploads go with it. Fails with NoSuchBucket or BucketNotEmpty. */
  deleteBucket(name: string): Promise<void> {
    return this.#buckets.delete(name);
  }

  /**
   * Makes the body the object of that key. Fails as the body or its `verify` does, with NoSuchBucket, PreconditionFailed, NoSuchKey
   * (`ifMatch` where there is none), KeyTooLongError, EntityTooLarge, InsufficientStorage, or with the signal's reason; what was there before
   * is there still.
   */
  put(bucket: string, key: string, request: PutRequest, signal: AbortSignal): Promise<ObjectInfo> {
    return this.#objects.put(bucket, key, request, signal);
  }

  /** Throws NoSuchBucket or NoSuchKey. */
  head(bucket: string, key: string): ObjectInfo {
    return this.#objects.find(bucket, key).info;
  }

  /** The object as it is now; to be disposed of. Fails with NoSuchBucket or NoSuchKey. */
  read(bucket: string, key: string): Promise<ObjectReader> {
    return this.#objects.read(bucket, key);
  }

  /** Copies without reading: the target names the same content. `headers` take the place of the source's; `conditions` are the target's. */
  copy(
    source: ObjectPlace,
    target: ObjectPlace,
    options: { readonly headers?: Readonly<Record<string, string>>; readonly conditions: Preconditions },
    signal: AbortSignal,
  ): Promise<ObjectInfo> {
    return this.#objects.copy(source, target, options, signal);
  }

  /** Resolves with whether there was one. Fails with NoSuchBucket, PreconditionFailed, or NoSuchKey (`ifMatch` where there is none). */
  delete(bucket: string, key: string, conditions: Preconditions = {}): Promise<boolean> {
    return this.#objects.delete(bucket, key, conditions);
  }

  /** Throws NoSuchBucket. */
  list(bucket: string, request: ListRequest): ListPage {
    return this.#objects.list(bucket, request);
  }

  /** Begins a multipart upload; resolves with its id. */
  createUpload(bucket: string, key: string, request: UploadRequest): Promise<string> {
    return this.#uploads.create(bucket, key, request);
  }

  /** Takes the place of an earlier part of that number. Fails as `put` does, and with NoSuchUpload or InvalidArgument. */
  async putPart(
    bucket: string,
    key: string,
    uploadId: string,
    partNumber: number,
    body: IncomingBody,
    signal: AbortSignal,
  ): Promise<PartInfo> {
    return await this.#uploads.putPart(this.#uploads.find(bucket, key, uploadId), partNumber, body, signal);
  }

  /** As `putPart`; the content is that of an object, or the range of it, which has to be within it. */
  async copyPart(
    source: ObjectPlace & { readonly range?: ByteRange },
    target: ObjectPlace & { readonly uploadId: string; readonly partNumber: number },
    signal: AbortSignal,
  ): Promise<PartInfo> {
    const upload = this.#uploads.find(target.bucket, target.key, target.uploadId);
    return await this.#uploads.copyPart(upload, target.partNumber, source, signal);
  }

  /** Throws NoSuchUpload. */
  listParts(bucket: string, key: string, uploadId: string, afterPart: number, limit: number): PartsPage {
    return listParts(this.#uploads.find(bucket, key, uploadId), afterPart, limit);
  }

  /** Throws NoSuchBucket. */
  listUploads(bucket: string, request: UploadsRequest): UploadsPage {
    const { name } = bucketOf(this.#parts, bucket);
    return listUploads(
      [...this.#parts.uploads.values()].filter(({ record }) => record.bucket === name),
      request,
    );
  }

  /** Fails with NoSuchUpload. */
  abortUpload(bucket: string, key: string, uploadId: string): Promise<void> {
    return this.#uploads.abort(bucket, key, uploadId);
  }

  /**
   * Makes an object of the parts, which are copied into one content and synced as `put` does it; a single one is taken as it is.
   * `expectedChecksum` is what the client has computed, as `ObjectInfo.checksum.value` (BadDigest). Repeated after it has succeeded, it
   * answers the same for as long as that object is there. Fails with NoSuchUpload, InvalidPart, InvalidPartOrder, EntityTooSmall,
   * EntityTooLarge, and as `put` does.
   */
  completeUpload(
    bucket: string,
    key: string,
    uploadId: string,
    parts: readonly NamedPart[],
    conditions: Preconditions,
    expectedChecksum: string | undefined,
    signal: AbortSignal,
  ): Promise<ObjectInfo> {
    return this.#uploads.complete({ bucket, key }, uploadId, parts, conditions, expectedChecksum, signal);
  }

  stats(): StoreStats {
    const { buckets, blobs, uploads, directories } = this.#parts;
    let objects = 0;
    let bytes = 0;
    for (const bucket of buckets.values()) {
      objects += bucket.objects.size;
      for (const { info } of bucket.objects.values()) bytes += info.size;
    }
    return {
      buckets: buckets.size,
      objects,
      bytes,
      blobs: blobs.count,
      blobBytes: blobs.bytes,
      uploads: uploads.size,
      quarantined: this.#opened.quarantine.count,
      writable: !directories.failed,
    };
  }

  /**
   * Reads every content again, at the rate of `scrubBytesPerSecond`, and sets aside what is not what was stored, with all objects that
   * have it. Rejects with the signal's reason.
   */
  scrub(signal: AbortSignal): Promise<ScrubReport> {
    const { quarantine, threads, blocks } = this.#opened;
    return new Scrub(this.#parts, { uploads: this.#uploads, quarantine, threads, blocks }, signal).run();
  }

  /** To be called when nothing is under way any more. */
  close(): Promise<void> {
    return (this.#closed ??= closeAll(this.#opened));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

const closeAll = async ({ parts, threads, lock }: Opened): Promise<void> => {
  await threads.close();
  await parts.directories.close();
  await lock.release();
};

/** `undo` gets what has to be done if something fails later. */
const openDirectory = async (options: ObjectStoreOptions, undo: CleanupStack): Promise<Opened> => {
  const logger = options.logger ?? silentLogger;
  const limits = { ...DEFAULT_STORE_LIMITS, ...options.limits };
  await fs.promises.mkdir(options.directory, { recursive: true, mode: 0o700 });
  const layout = new Layout(await fs.promises.realpath(options.directory));
  const lock = await lockDirectory(layout, logger);
  undo.add(() => lock.release());
  const directories = new Directories(logger);
  undo.add(() => directories.close());
  await prepareDirectory(layout, directories);

  const threads = new HashThreads(availableParallelism());
  const blocks = new BlockPool();
  const parts: StoreParts = {
    layout,
    limits,
    logger,
    directories,
    records: new RecordFiles(layout.temporary, directories),
    blobs: new Blobs(layout, directories, logger),
    receiver: new BodyReceiver({
      temporary: layout.temporary,
      threads,
      blocks,
      maxBytes: limits.maxObjectBytes,
    }),
    locks: new KeyedLock(),
    buckets: new SortedKeys(),
    uploads: new Map(),
  };
  const set = (await fs.promises.readdir(layout.quarantine)).length;
  const quarantine = new Quarantine(layout.quarantine, set, directories, logger);
  const recovered = await new Recovery(parts, quarantine).run();
  // Opened now, so that none lacks a descriptor when it has to be synced.
  for (const directory of layout.directories) await directories.prepare(directory);
  logger.info("the registry's directory is open", { directory: layout.root, ...recovered });
  return { parts, quarantine, threads, blocks, lock };
};
