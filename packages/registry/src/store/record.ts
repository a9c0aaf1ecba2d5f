import { createHash } from "node:crypto";

import type { Checksum, ChecksumAlgorithm, ObjectInfo } from "../object-store.ts";

/** What is kept of an object besides its content. */
export interface ObjectRecord {
  readonly kind: "object";
  readonly bucket: string;
  readonly info: ObjectInfo;
  /** Of the content, in hexadecimal; a multipart object's etag is another one. */
  readonly md5: string;
  /** The multipart upload that made it, so that completing it again is answered in the same way. */
  readonly uploadId?: string;
}

export interface BucketRecord {
  readonly kind: "bucket";
  readonly name: string;
  readonly createdMs: number;
}

export interface UploadRecord {
  readonly kind: "upload";
  readonly id: string;
  readonly bucket: string;
  readonly key: string;
  readonly startedMs: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly algorithm?: ChecksumAlgorithm;
  readonly checksumType: Checksum["type"];
}

export interface PartRecord {
  readonly kind: "part";
  readonly uploadId: string;
  readonly partNumber: number;
  readonly size: number;
  /** The MD5 of the content, in hexadecimal. */
  readonly etag: string;
  readonly digest: string;
  readonly modifiedMs: number;
  readonly checksum?: Checksum;
}

export type StoreRecord = ObjectRecord | BucketRecord | UploadRecord | PartRecord;

/** A record as a file: one line of JSON, and one with its SHA-256, by which a damaged one is known. */
export const encodeRecord = (record: StoreRecord): Buffer => {
  const line = JSON.stringify(record);
  return Buffer.from(`${line}\n${sha256(line)}\n`);
};

/** Reads the record of that kind; throws an Error that says what is wrong with it. */
export const decodeRecord = <Kind extends StoreRecord["kind"]>(
  file: Buffer,
  kind: Kind,
): Extract<StoreRecord, { kind: Kind }> => {
  const text = file.toString("utf8");
  const end = text.indexOf("\n");
  if (end === -1) throw new Error("it is not a record: it has no line");
  const line = text.slice(0, end);
  if (text.slice(end + 1) !== `${sha256(line)}\n`)
    throw new Error("it is damaged: its checksum is another one");
  // What has the right checksum was written by encodeRecord: its shape needs no check, only which one it is.
  const record = JSON.parse(line) as StoreRecord;
  if (record.kind !== kind) throw new Error(`it is a record of kind ${record.kind}, not ${kind}`);
  return record as Extract<StoreRecord, { kind: Kind }>;
};

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
