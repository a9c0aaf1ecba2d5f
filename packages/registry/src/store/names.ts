import { s3Error } from "../s3-error.ts";

/** What S3 allows. */
const MOST_KEY_BYTES = 1024;

/** What S3 allows, but for names that look like an IP address; so a name is always a harmless part of a path. */
const BUCKET_NAME = /^[a-z0-9](?:[a-z0-9-]|\.(?=[a-z0-9])){1,61}[a-z0-9]$/;
/** Half of a pair, which is not Unicode and has no UTF-8. */
const LONE_SURROGATE = /\p{Surrogate}/u;
const IP_ADDRESS = /^\d+\.\d+\.\d+\.\d+$/;

/** Fails with InvalidBucketName. */
export const checkBucketName = (name: string): void => {
  if (BUCKET_NAME.test(name) && !name.includes("-.") && !IP_ADDRESS.test(name)) return;
  throw s3Error("InvalidBucketName", undefined, { details: { BucketName: name.slice(0, 100) } });
};

/** Fails with KeyTooLongError, or InvalidArgument for an empty key or one that is no Unicode text. */
export const checkKey = (key: string): void => {
  if (key === "") throw s3Error("InvalidArgument", "A key has at least one byte.");
  if (LONE_SURROGATE.test(key)) throw s3Error("InvalidArgument", "A key has to be UTF-8.");
  if (Buffer.byteLength(key) > MOST_KEY_BYTES) throw s3Error("KeyTooLongError");
};
