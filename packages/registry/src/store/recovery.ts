import * as fs from "node:fs";
import * as path from "node:path";
import { setImmediate } from "node:timers/promises";

import { messageOf } from "@ol/common";

import { Bucket, type StoredObject } from "./bucket.ts";
import { removeFile } from "./disk.ts";
import type { Quarantine } from "./quarantine.ts";
import {
  type ObjectRecord,
  type PartRecord,
  type StoreRecord,
  type UploadRecord,
  decodeRecord,
} from "./record.ts";
import { SortedKeys } from "./sorted-keys.ts";
import type { StoreParts } from "./store-parts.ts";

/** What the start found and did. */
export interface Recovered {
  readonly objects: number;
  /** Files that were set aside because they are damaged. */
  readonly setAside: number;
  /** Files of writes that had not ended. */
  readonly temporary: number;
  /** Contents that nothing names and that were removed, and records of uploads that were over. */
  readonly garbage: number;
}

/**
 * Reads a data directory that nobody uses, into `parts`, which are empty: removes what unfinished writes left, reads every record,
 * and sets aside what is damaged. Reads without giving way within a directory: there is nobody to give way to yet, and 100,000 records
 * take 2 seconds so instead of 10.
 */
export class Recovery {
  readonly #parts: StoreParts;
  readonly #quarantine: Quarantine;
  /** The sizes of the contents that are there. */
  readonly #blobs = new Map<string, number>();
  #setAside = 0;
  #garbage = 0;

  constructor(parts: StoreParts, quarantine: Quarantine) {
    this.#parts = parts;
    this.#quarantine = quarantine;
  }

  async run(): Promise<Recovered> {
    const { layout } = this.#parts;
    const leftOver = filesIn(layout.temporary);
    for (const file of leftOver) await removeFile(file);
    for (const directory of layout.blobDirectories) {
      for (const file of filesIn(directory)) this.#blobs.set(path.basename(file), fs.statSync(file).size);
      await setImmediate();
    }
    await this.#readBuckets();
    const objects = await this.#readObjects();
    await this.#readUploads();
    await this.#removeUnnamed();
    return { objects, setAside: this.#setAside, temporary: leftOver.length, garbage: this.#garbage };
  }

  async #readBuckets(): Promise<void> {
    const { layout, buckets } = this.#parts;
    for (const file of filesIn(layout.buckets)) {
      const record = await this.#read(file, "bucket", ({ name }) => layout.bucket(name));
      if (record !== undefined) buckets.set(record.name, new Bucket(record.name, record.createdMs));
    }
  }

  async #readObjects(): Promise<number> {
    const { layout, blobs } = this.#parts;
    const found = new Map<string, [string, StoredObject][]>();
    let count = 0;
    for (const directory of layout.recordDirectories) {
      for (const file of filesIn(directory)) {
        const record = await this.#read(file, "object", (read) => layout.record(read.bucket, read.info.key));
        if (record === undefined || !(await this.#hasContent(file, record.info))) continue;
        const { bucket, info, md5, uploadId } = record;
        const hold = blobs.hold(info.digest, info.size);
        const objects = found.get(bucket) ?? [];
        if (objects.length === 0) found.set(bucket, objects);
        objects.push([info.key, { info, md5, hold, ...(uploadId === undefined ? {} : { uploadId }) }]);
        count += 1;
      }
      await setImmediate();
    }
    for (const [bucket, objects] of found) (await this.#bucketFor(bucket)).objects = SortedKeys.from(objects);
    return count;
  }

  async #readUploads(): Promise<void> {
    const { layout, uploads, records } = this.#parts;
    const parts = new Map<string, PartRecord>();
    const over: string[] = [];
    for (const file of filesIn(layout.uploads)) {
      if (path.basename(file).includes(".")) {
        const part = await this.#read(file, "part", (read) => layout.part(read.uploadId, read.partNumber));
        if (part !== undefined && (await this.#hasContent(file, part))) parts.set(file, part);
      } else {
        const record = await this.#read(file, "upload", (read) => layout.upload(read.id));
        if (record === undefined) continue;
        if (this.#isOver(record)) over.push(file);
        else uploads.set(record.id, { record, parts: new Map() });
      }
    }
    for (const [file, part] of parts) if (!this.#addPart(part)) over.push(file);
    const [first, ...others] = over;
    if (first !== undefined) await records.remove(first, ...others);
    this.#garbage += over.length;
  }

  /** Whether the upload was completed, or its bucket removed. */
  #isOver({ id, bucket, key }: UploadRecord): boolean {
    const found = this.#parts.buckets.get(bucket);
    return found === undefined || found.objects.get(key)?.uploadId === id;
  }

  #addPart(part: PartRecord): boolean {
    const upload = this.#parts.uploads.get(part.uploadId);
    if (upload === undefined) return false;
    const { kind: _kind, uploadId: _uploadId, ...info } = part;
    upload.parts.set(part.partNumber, { info, hold: this.#parts.blobs.hold(part.digest, part.size) });
    return true;
  }

  /** Contents of writes that came no further. While there are damaged records, nobody knows which contents those name. */
  async #removeUnnamed(): Promise<void> {
    const { layout, blobs, logger } = this.#parts;
    const unnamed = [...this.#blobs.keys()].filter((digest) => blobs.generation(digest) === undefined);
    if (this.#quarantine.count > 0 && unnamed.length > 0) {
      logger.warn("contents that no object names are kept while there is something in quarantine", {
        contents: unnamed.length,
        quarantine: layout.quarantine,
      });
      return;
    }
    for (const digest of unnamed) await removeFile(layout.blob(digest));
    this.#garbage += unnamed.length;
  }

  /** A bucket of which there are objects exists, although its own record may have been damaged. */
  async #bucketFor(name: string): Promise<Bucket> {
    const { buckets, layout, records } = this.#parts;
    let bucket = buckets.get(name);
    if (bucket === undefined) {
      bucket = new Bucket(name, Date.now());
      await records.write(layout.bucket(name), { kind: "bucket", name, createdMs: bucket.createdMs });
      buckets.set(name, bucket);
    }
    return bucket;
  }

  async #hasContent(
    file: string,
    { digest, size }: Pick<ObjectRecord["info"], "digest" | "size">,
  ): Promise<boolean> {
    const found = this.#blobs.get(digest);
    if (found === size) return true;
    const why = found === undefined ? "is missing" : `has ${found} bytes instead of ${size}`;
    await this.#takeAside(file, `its content ${digest} ${why}`);
    return false;
  }

  /** The record in that file; if it is damaged or should be in another file, it is set aside. */
  async #read<Kind extends StoreRecord["kind"]>(
    file: string,
    kind: Kind,
    placeOf: (record: Extract<StoreRecord, { kind: Kind }>) => string,
  ): Promise<Extract<StoreRecord, { kind: Kind }> | undefined> {
    const content = fs.readFileSync(file);
    try {
      const record = decodeRecord(content, kind);
      if (placeOf(record) !== file) throw new Error("it is the record of something else");
      return record;
    } catch (error) {
      await this.#takeAside(file, messageOf(error));
      return undefined;
    }
  }

  async #takeAside(file: string, reason: string): Promise<void> {
    await this.#quarantine.take(file, reason);
    this.#setAside += 1;
  }
}

const filesIn = (directory: string): string[] =>
  fs.readdirSync(directory).map((name) => path.join(directory, name));
