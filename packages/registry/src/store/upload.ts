import type { Checksum, ChecksumAlgorithm } from "../object-store.ts";

import type { BlobHold } from "./blobs.ts";
import type { UploadRecord } from "./record.ts";

/** One uploaded part of a multipart upload. */
export interface PartInfo {
  readonly partNumber: number;
  /** In bytes. */
  readonly size: number;
  /** The MD5 of the content, in hexadecimal. */
  readonly etag: string;
  /** SHA-256 of the content, in hexadecimal. */
  readonly digest: string;
  readonly modifiedMs: number;
  /** By the upload's algorithm, if it has one. */
  readonly checksum?: Checksum;
}

/** What is known of an unfinished multipart upload. */
export interface UploadInfo {
  readonly id: string;
  readonly key: string;
  readonly startedMs: number;
  readonly algorithm?: ChecksumAlgorithm;
  readonly checksumType: Checksum["type"];
}

export interface StoredPart {
  readonly info: PartInfo;
  readonly hold: BlobHold;
}

/** An unfinished multipart upload and its parts, as they are on the disk. */
export interface Upload {
  readonly record: UploadRecord;
  readonly parts: Map<number, StoredPart>;
}

/** What a listing may say of an upload. */
export const uploadInfo = ({ id, key, startedMs, algorithm, checksumType }: UploadRecord): UploadInfo => ({
  id,
  key,
  startedMs,
  checksumType,
  ...(algorithm === undefined ? {} : { algorithm }),
});

/** When anything was last done for it. */
export const lastUsedMs = (upload: Upload): number =>
  Math.max(upload.record.startedMs, ...[...upload.parts.values()].map((part) => part.info.modifiedMs));
