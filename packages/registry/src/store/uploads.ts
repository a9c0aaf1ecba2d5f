import { randomBytes } from "node:crypto";

import { messageOf } from "@ol/common";

import type {
  BodyDigests,
  Checksum,
  ChecksumAlgorithm,
  IncomingBody,
  ObjectInfo,
  Preconditions,
} from "../object-store.ts";
import { s3Error } from "../s3-error.ts";

import type { BlobHold } from "./blobs.ts";
import { checkPreconditions } from "./conditions.ts";
import {
  MOST_PARTS,
  type NamedPart,
  chosenParts,
  compositeChecksum,
  contentOf,
  madeOf,
  multipartEtag,
} from "./multipart.ts";
import { checkKey } from "./names.ts";
import type { ObjectPlace, Objects } from "./objects.ts";
import type { ByteRange } from "./object-reader.ts";
import type { UploadRecord } from "./record.ts";
import { type StoreParts, bucketOf } from "./store-parts.ts";
import { type PartInfo, type StoredPart, type Upload, lastUsedMs } from "./upload.ts";

/** How a multipart upload begins. */
export interface UploadRequest {
  readonly headers: Readonly<Record<string, string>>;
  /** The checksum that is computed of each part. */
  readonly algorithm?: ChecksumAlgorithm;
  /** The object's; without it FULL_OBJECT for crc64nvme, for which S3 knows nothing else, and COMPOSITE for the others. */
  readonly checksumType?: Checksum["type"];
}

/** The content of an object of several parts, as it is on the disk. */
interface Whole {
  readonly hold: BlobHold;
  readonly md5: string;
  /** Of the whole, if the upload asks for it. */
  readonly checksum?: string;
}

/** Multipart uploads. Parts are contents like those of objects, held by the upload; completing it makes one content of them. */
export class Uploads {
  readonly #parts: StoreParts;
  readonly #objects: Objects;

  constructor(parts: StoreParts, objects: Objects) {
    this.#parts = parts;
    this.#objects = objects;
  }

  /** The upload; NoSuchUpload. */
  find(bucket: string, key: string, id: string): Upload {
    bucketOf(this.#parts, bucket);
    const upload = this.#parts.uploads.get(id);
    if (upload?.record.bucket !== bucket || upload.record.key !== key) {
      throw s3Error("NoSuchUpload", undefined, { details: { UploadId: id.slice(0, 200) } });
    }
    return upload;
  }

  async create(bucketName: string, key: string, request: UploadRequest): Promise<string> {
    checkKey(key);
    const bucket = bucketOf(this.#parts, bucketName);
    const { headers, algorithm } = request;
    const record: UploadRecord = {
      kind: "upload",
      id: randomBytes(16).toString("hex"),
      bucket: bucketName,
      key,
      startedMs: Date.now(),
      headers,
      checksumType: request.checksumType ?? (algorithm === "crc64nvme" ? "FULL_OBJECT" : "COMPOSITE"),
      ...(algorithm === undefined ? {} : { algorithm }),
    };
    await bucket.change(async () => {
      await this.#parts.records.write(this.#parts.layout.upload(record.id), record);
      this.#parts.uploads.set(record.id, { record, parts: new Map() });
    });
    return record.id;
  }

  async putPart(
    upload: Upload,
    partNumber: number,
    body: IncomingBody,
    signal: AbortSignal,
  ): Promise<PartInfo> {
    if (!Number.isInteger(partNumber) || partNumber < 1 || partNumber > MOST_PARTS) {
      throw s3Error("InvalidArgument", `A part's number is from 1 to ${MOST_PARTS}.`);
    }
    this.#parts.directories.mayWrite();
    const { algorithm } = upload.record;
    const algorithms =
      algorithm === undefined ? body.algorithms : [...new Set([...body.algorithms, algorithm])];
    const { file, digests } = await this.#parts.receiver.receive(body.bytes, algorithms, signal);
    await using _ = file;
    body.verify(digests);
    const hold = await this.#parts.blobs.publish(file, digests.sha256, digests.size);
    return await this.#commitPart(upload, partNumber, digests, hold);
  }

  /** A part that is an object that is there, or a range of it. */
  async copyPart(
    upload: Upload,
    partNumber: number,
    source: ObjectPlace & { readonly range?: ByteRange },
    signal: AbortSignal,
  ): Promise<PartInfo> {
    await using reader = await this.#objects.read(source.bucket, source.key);
    const bytes = reader.stream(source.range);
    return await this.putPart(upload, partNumber, { bytes, algorithms: [], verify: () => undefined }, signal);
  }

  async abort(bucket: string, key: string, id: string): Promise<void> {
    await this.#parts.locks.run(`upload ${id}`, () => this.#remove(this.find(bucket, key, id)));
  }

  /** Removes all that are unfinished in a bucket. */
  async abortAll(bucket: string): Promise<void> {
    await this.#abortWhere((upload) => upload.record.bucket === bucket);
  }

  /** Removes those for which nothing was done since then; resolves with how many these were. */
  async abortUnused(sinceMs: number): Promise<number> {
    return await this.#abortWhere((upload) => lastUsedMs(upload) < sinceMs);
  }

  /** Makes an object of the parts. Repeated after it has succeeded, it answers the same for as long as that object is there. */
  async complete(
    place: ObjectPlace,
    id: string,
    named: readonly NamedPart[],
    conditions: Preconditions,
    expected: string | undefined,
    signal: AbortSignal,
  ): Promise<ObjectInfo> {
    return await this.#parts.locks.run(`upload ${id}`, async () => {
      const bucket = bucketOf(this.#parts, place.bucket);
      const before = bucket.objects.get(place.key);
      const known = this.#parts.uploads.has(id);
      if (!known && before?.uploadId === id && madeOf(before.info.etag, named)) return before.info;
      const upload = this.find(place.bucket, place.key, id);
      const chosen = chosenParts(upload, named, this.#parts.limits);
      checkPreconditions(conditions, before?.info);
      const whole = await this.#whole(upload, chosen, signal);
      try {
        const info = await this.#commitWhole(upload, chosen, whole, conditions, expected);
        await this.#removeCompleted(upload);
        return info;
      } catch (error) {
        await whole.hold.release();
        throw error;
      }
    });
  }

  async #commitWhole(
    upload: Upload,
    chosen: readonly StoredPart[],
    whole: Whole,
    conditions: Preconditions,
    expected: string | undefined,
  ): Promise<ObjectInfo> {
    const { algorithm, bucket, checksumType, headers, id, key } = upload.record;
    const { hold, md5 } = whole;
    const checksum: Checksum | undefined =
      algorithm !== undefined && whole.checksum !== undefined
        ? { algorithm, value: whole.checksum, type: checksumType }
        : compositeChecksum(chosen);
    if (expected !== undefined && checksum !== undefined && expected !== checksum.value)
      throw s3Error("BadDigest");
    const etag = multipartEtag(chosen.map(({ info }) => info.etag));
    const about = { key, size: hold.size, etag, digest: hold.digest, headers };
    return await this.#objects.commit(
      bucketOf(this.#parts, bucket),
      { info: { ...about, ...(checksum === undefined ? {} : { checksum }) }, md5, hold, uploadId: id },
      conditions,
    );
  }

  /** One content of several; a single part is one already. */
  async #whole(upload: Upload, chosen: readonly StoredPart[], signal: AbortSignal): Promise<Whole> {
    const { algorithm, checksumType } = upload.record;
    const computed = algorithm !== undefined && checksumType === "FULL_OBJECT" ? [algorithm] : [];
    const only = chosen.length === 1 ? chosen[0] : undefined;
    if (only !== undefined) {
      const { digest, size, etag, checksum } = only.info;
      const hold = this.#parts.blobs.hold(digest, size);
      return {
        hold,
        md5: etag,
        ...(computed.length === 0 || checksum === undefined ? {} : { checksum: checksum.value }),
      };
    }
    const bytes = contentOf(this.#parts.layout, chosen);
    const { file, digests } = await this.#parts.receiver.receive(bytes, computed, signal);
    await using _ = file;
    const hold = await this.#parts.blobs.publish(file, digests.sha256, digests.size);
    const checksum = algorithm === undefined ? undefined : digests.checksums.get(algorithm);
    return { hold, md5: digests.md5, ...(checksum === undefined ? {} : { checksum }) };
  }

  async #commitPart(
    upload: Upload,
    partNumber: number,
    digests: BodyDigests,
    hold: BlobHold,
  ): Promise<PartInfo> {
    const { id, bucket, key, algorithm } = upload.record;
    const { size, md5, sha256, checksums } = digests;
    const value = algorithm === undefined ? undefined : checksums.get(algorithm);
    const info: PartInfo = {
      partNumber,
      size,
      etag: md5,
      digest: sha256,
      modifiedMs: Date.now(),
      ...(algorithm === undefined || value === undefined
        ? {}
        : { checksum: { algorithm, value, type: "FULL_OBJECT" } }),
    };
    try {
      return await this.#parts.locks.run(`upload ${id}`, async () => {
        // It may have been completed or aborted meanwhile.
        const current = this.find(bucket, key, id);
        await this.#parts.records.write(this.#parts.layout.part(id, partNumber), {
          kind: "part",
          uploadId: id,
          ...info,
        });
        const before = current.parts.get(partNumber);
        current.parts.set(partNumber, { info, hold });
        await before?.hold.release();
        return info;
      });
    } catch (error) {
      await hold.release();
      throw error;
    }
  }

  async #abortWhere(chosen: (upload: Upload) => boolean): Promise<number> {
    let aborted = 0;
    for (const { record } of this.#parts.uploads.values()) {
      await this.#parts.locks.run(`upload ${record.id}`, async () => {
        const upload = this.#parts.uploads.get(record.id);
        if (upload === undefined || !chosen(upload)) return;
        await this.#remove(upload);
        aborted += 1;
      });
    }
    return aborted;
  }

  /** The object is there, so whoever completed the upload hears that; what is left of it goes at the next start at the latest. */
  async #removeCompleted(upload: Upload): Promise<void> {
    try {
      await this.#remove(upload);
    } catch (error) {
      this.#parts.uploads.delete(upload.record.id);
      this.#parts.logger.warn("a completed upload could not be removed; the next start tries again", {
        upload: upload.record.id,
        reason: messageOf(error),
      });
    }
  }

  async #remove(upload: Upload): Promise<void> {
    const { layout, records, uploads } = this.#parts;
    const { id } = upload.record;
    // The upload's own record first: parts without one are removed at the next start.
    const parts = [...upload.parts.keys()].map((partNumber) => layout.part(id, partNumber));
    await records.remove(layout.upload(id), ...parts);
    uploads.delete(id);
    for (const { hold } of upload.parts.values()) await hold.release();
  }
}
