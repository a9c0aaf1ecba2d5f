import type { Logger } from "@ol/common";

import { s3Error } from "../s3-error.ts";

import type { Blobs } from "./blobs.ts";
import type { BodyReceiver } from "./body-receiver.ts";
import type { Bucket } from "./bucket.ts";
import type { Directories } from "./directories.ts";
import type { KeyedLock } from "./keyed-lock.ts";
import type { Layout } from "./layout.ts";
import type { RecordFiles } from "./record-files.ts";
import type { SortedKeys } from "./sorted-keys.ts";
import type { Upload } from "./upload.ts";

/** What the store keeps to. */
export interface StoreLimits {
  /** A larger object, or part of one, is refused. */
  readonly maxObjectBytes: number;
  /** A part of a multipart upload that is not the last one has at least this size. */
  readonly minPartBytes: number;
  readonly maxBuckets: number;
  /** A scrub removes a multipart upload for which nothing was done for so long. */
  readonly uploadAgeMs: number;
  /** How fast a scrub reads. */
  readonly scrubBytesPerSecond: number;
}

/** The first two are S3's own. */
export const DEFAULT_STORE_LIMITS: StoreLimits = {
  maxObjectBytes: 5 * 1024 ** 3,
  minPartBytes: 5 * 1024 ** 2,
  maxBuckets: 1000,
  uploadAgeMs: 7 * 24 * 60 * 60 * 1000,
  // A quarter of what a modest disk gives: requests come first.
  scrubBytesPerSecond: 32 * 1024 ** 2,
};

/** What the store's classes share. What is in memory is what is on the disk; it is changed after the disk was. */
export interface StoreParts {
  readonly layout: Layout;
  readonly limits: StoreLimits;
  readonly logger: Logger;
  readonly directories: Directories;
  readonly records: RecordFiles;
  readonly blobs: Blobs;
  readonly receiver: BodyReceiver;
  /** By what is changed: `bucket NAME`, `object BUCKET/KEY`, `upload ID`. An upload's is taken before an object's. */
  readonly locks: KeyedLock;
  readonly buckets: SortedKeys<Bucket>;
  readonly uploads: Map<string, Upload>;
}

/** The bucket of that name; NoSuchBucket. */
export const bucketOf = ({ buckets }: StoreParts, name: string): Bucket => {
  const bucket = buckets.get(name);
  if (bucket?.open !== true) throw s3Error("NoSuchBucket", undefined, { details: { BucketName: name } });
  return bucket;
};
