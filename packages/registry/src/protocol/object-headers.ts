import type { ObjectInfo } from "../object-store.ts";
import { s3Error } from "../s3-error.ts";
import { checksumReply } from "./checksum-fields.ts";
import { httpDate } from "./dates.ts";
import type { RequestFields } from "./request-fields.ts";
import type { Query } from "./request-target.ts";

/** Of a request that stores an object, those that a GET gives back. */
const KEPT = [
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-type",
  "expires",
];
const META = "x-amz-meta-";
const DEFAULT_TYPE = "binary/octet-stream";
/** As S3 limits them: names and values together. */
const MOST_META_BYTES = 2048;

/** The header fields that are kept with an object. Fails with MetadataTooLarge. */
export const storedHeaders = (fields: RequestFields): Readonly<Record<string, string>> => {
  const kept = new Map<string, string>([["content-type", DEFAULT_TYPE]]);
  for (const name of KEPT) {
    const value = name === "content-encoding" ? contentEncoding(fields) : fields.get(name);
    if (value !== undefined && value !== "") kept.set(name, value);
  }
  let metaBytes = 0;
  for (const name of fields.names()) {
    if (!name.startsWith(META)) continue;
    const value = fields.get(name) ?? "";
    metaBytes += name.length - META.length + value.length;
    kept.set(name, value);
  }
  if (metaBytes > MOST_META_BYTES) throw s3Error("MetadataTooLarge");
  return Object.fromEntries(kept);
};

/** `aws-chunked` is how the body came, not what it is. */
const contentEncoding = (fields: RequestFields): string | undefined =>
  fields
    .get("content-encoding")
    ?.split(",")
    .map((coding) => coding.trim())
    .filter((coding) => coding.toLowerCase() !== "aws-chunked")
    .join(",");

/** What asks for something that this server would have to ignore: better no object than one that is not as its owner thinks. */
const UNSUPPORTED = [
  "x-amz-server-side-encryption",
  "x-amz-tagging",
  "x-amz-object-lock-",
  "x-amz-bucket-object-lock-enabled",
  "x-amz-website-redirect-location",
  "x-amz-write-offset-bytes",
  "x-amz-grant-",
  "x-amz-copy-source-server-side-encryption",
];
/** They say what is so anyway: only who has a key pair reads anything. */
const ACLS: ReadonlySet<string | undefined> = new Set([
  undefined,
  "private",
  "bucket-owner-read",
  "bucket-owner-full-control",
]);

/** Fails with NotImplemented for what a write asks for in vain. */
export const refuseUnsupported = (fields: RequestFields): void => {
  for (const name of fields.names())
    if (UNSUPPORTED.some((prefix) => name.startsWith(prefix)))
      throw s3Error("NotImplemented", `${name} is not supported by this server.`);
  if (!ACLS.has(fields.get("x-amz-acl")))
    throw s3Error("NotImplemented", "Every object is private here: x-amz-acl can only be private.");
  const storageClass = fields.get("x-amz-storage-class") ?? "STANDARD";
  if (storageClass !== "STANDARD")
    throw s3Error(
      "NotImplemented",
      "There is only one storage class here: x-amz-storage-class can only be STANDARD.",
    );
};

/** With quotes, as header fields have it. */
export const quoted = (etag: string): string => `"${etag}"`;

/** What a GET, a HEAD and a 304 say of the object's version. */
export const versionHeaders = ({ etag, modifiedMs }: ObjectInfo): Readonly<Record<string, string>> => ({
  ETag: quoted(etag),
  "Last-Modified": httpDate(modifiedMs),
});

/** What a GET or HEAD says of an object, apart from the length. */
export const objectHeaders = (
  info: ObjectInfo,
  fields: RequestFields,
  whole: boolean,
): Record<string, string> => ({
  ...info.headers,
  ...versionHeaders(info),
  "Accept-Ranges": "bytes",
  // Of a part of the object a client would compare it with that part.
  ...(whole &&
    fields.get("x-amz-checksum-mode")?.toUpperCase() === "ENABLED" &&
    checksumReply(info.checksum)),
});

const OVERRIDES = [
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-type",
  "expires",
];

/** The header fields of the reply that the query asks for (`response-content-type` and so on). Fails with InvalidArgument. */
export const overriddenHeaders = (query: Query): Record<string, string> =>
  Object.fromEntries(
    OVERRIDES.flatMap((name) => {
      const value = query.get(`response-${name}`);
      if (value === undefined) return [];
      if (/\p{Cc}/u.test(value))
        throw s3Error("InvalidArgument", `response-${name} cannot be the value of a header field.`);
      // As UTF-8 on the wire.
      return [[name, Buffer.from(value).toString("latin1")]];
    }),
  );
