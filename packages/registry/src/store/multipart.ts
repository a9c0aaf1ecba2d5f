import { createHash } from "node:crypto";
import * as fs from "node:fs";

import type { Checksum } from "../object-store.ts";
import { s3Error } from "../s3-error.ts";

import { runningChecksum } from "./checksums.ts";
import { diskError } from "./disk.ts";
import type { Layout } from "./layout.ts";
import type { StoreLimits } from "./store-parts.ts";
import type { StoredPart, Upload } from "./upload.ts";

/** A part as whoever completes an upload names it; `etag` without quotes. */
export interface NamedPart {
  readonly partNumber: number;
  readonly etag: string;
  /** Its checksum in base64, if the client names it. */
  readonly checksumValue?: string;
}

/** S3's own limit. */
export const MOST_PARTS = 10_000;

/** How much of a part is read at once. */
const READ_BYTES = 512 * 1024;

/**
 * The parts that make up the object. Fails with InvalidPart for one that is not there or is another one, InvalidPartOrder,
 * EntityTooSmall, EntityTooLarge.
 */
export const chosenParts = (
  upload: Upload,
  named: readonly NamedPart[],
  limits: StoreLimits,
): StoredPart[] => {
  if (named.length === 0) throw s3Error("InvalidRequest", "An upload is completed with at least one part.");
  const chosen: StoredPart[] = [];
  let size = 0;
  for (const [place, { partNumber, etag, checksumValue }] of named.entries()) {
    const before = named[place - 1];
    if (before !== undefined && before.partNumber >= partNumber) throw s3Error("InvalidPartOrder");
    const part = upload.parts.get(partNumber);
    const same =
      part?.info.etag === etag &&
      (checksumValue === undefined || part.info.checksum?.value === checksumValue);
    const details = { PartNumber: `${partNumber}`, ETag: etag, UploadId: upload.record.id };
    if (part === undefined || !same) throw s3Error("InvalidPart", undefined, { details });
    if (part.info.size < limits.minPartBytes && place < named.length - 1) {
      throw s3Error("EntityTooSmall", undefined, { details });
    }
    size += part.info.size;
    if (size > limits.maxObjectBytes) throw s3Error("EntityTooLarge");
    chosen.push(part);
  }
  return chosen;
};

/** The etag of an object of several parts, from theirs. */
export const multipartEtag = (etags: readonly string[]): string => {
  const md5 = createHash("md5");
  for (const etag of etags) md5.update(etag, "hex");
  return `${md5.digest("hex")}-${etags.length}`;
};

/** The checksum of the parts' checksums; undefined if one has none. */
export const compositeChecksum = (parts: readonly StoredPart[]): Checksum | undefined => {
  const algorithm = parts[0]?.info.checksum?.algorithm;
  if (algorithm === undefined) return undefined;
  const running = runningChecksum(algorithm);
  for (const { info } of parts) {
    if (info.checksum === undefined) return undefined;
    running.update(Buffer.from(info.checksum.value, "base64"));
  }
  return { algorithm, value: `${running.digest()}-${parts.length}`, type: "COMPOSITE" };
};

/** The contents of the parts, one after another; InternalError if one is not as long as it was. */
export async function* contentOf(
  layout: Layout,
  parts: readonly StoredPart[],
): AsyncGenerator<Uint8Array, void> {
  for (const { info } of parts) {
    let size = 0;
    try {
      for await (const chunk of fs.createReadStream(layout.blob(info.digest), {
        highWaterMark: READ_BYTES,
      })) {
        size += (chunk as Buffer).length;
        yield chunk as Buffer;
      }
    } catch (error) {
      throw diskError(error);
    }
    if (size !== info.size) throw s3Error("InternalError", `Part ${info.partNumber} is damaged.`);
  }
}

/** Whether an object may be what completing the upload with these parts made. */
export const madeOf = (etag: string, named: readonly NamedPart[]): boolean =>
  etag === multipartEtag(named.map((part) => part.etag));
