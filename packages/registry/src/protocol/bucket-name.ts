import { isIPv4 } from "node:net";

import { s3Error } from "../s3-error.ts";

const NAME = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/u;

/** Fails with InvalidBucketName. Without underscores, no bucket is in the way of /_ol/. */
export const checkBucketName = (name: string): void => {
  if (!NAME.test(name) || name.includes("..") || isIPv4(name)) throw s3Error("InvalidBucketName");
};

/** As long as S3's. */
const MOST_KEY_BYTES = 1024;

/** Fails with KeyTooLongError. */
export const checkKey = (key: string): void => {
  if (Buffer.byteLength(key) > MOST_KEY_BYTES) throw s3Error("KeyTooLongError");
};
