import type { Checksum, ChecksumAlgorithm } from "../object-store.ts";
import { s3Error } from "../s3-error.ts";
import type { RequestFields } from "./request-fields.ts";

/** How many bytes a checksum has. */
const BYTES: Readonly<Record<ChecksumAlgorithm, number>> = {
  crc32: 4,
  crc32c: 4,
  crc64nvme: 8,
  sha1: 20,
  sha256: 32,
};

export const CHECKSUM_ALGORITHMS: readonly ChecksumAlgorithm[] = Object.keys(BYTES) as ChecksumAlgorithm[];

const PREFIX = "x-amz-checksum-";
/** Fields of that prefix which are no checksums. */
const OTHERS: ReadonlySet<string> = new Set(["algorithm", "mode", "type"].map((name) => PREFIX + name));

const isAlgorithm = (name: string): name is ChecksumAlgorithm => Object.hasOwn(BYTES, name);

/** `x-amz-checksum-crc32` → crc32. Fails with NotImplemented for one that we do not know. */
const algorithmOf = (field: string): ChecksumAlgorithm => {
  const name = field.slice(PREFIX.length);
  if (!isAlgorithm(name))
    throw s3Error("NotImplemented", `${field} is not known; known are ${CHECKSUM_ALGORITHMS.join(", ")}.`);
  return name;
};

/** Reads an algorithm's name, such as `CRC32C`. Fails with InvalidRequest. */
export const readAlgorithm = (text: string): ChecksumAlgorithm => {
  const name = text.toLowerCase();
  if (isAlgorithm(name)) return name;
  throw s3Error(
    "InvalidRequest",
    `The checksum algorithm must be one of ${CHECKSUM_ALGORITHMS.join(", ").toUpperCase()}.`,
  );
};

/** In base64 of exactly `bytes` bytes. */
const isBase64Of = (text: string, bytes: number): boolean => {
  const decoded = Buffer.from(text, "base64");
  return decoded.length === bytes && decoded.toString("base64") === text;
};

/** A checksum that the client gave, in base64. */
export interface GivenChecksum {
  readonly algorithm: ChecksumAlgorithm;
  readonly value: string;
}

/** Fails with InvalidRequest if `value` is no checksum of that field. */
export const readChecksum = (field: string, value: string): GivenChecksum => {
  const algorithm = algorithmOf(field);
  if (!isBase64Of(value, BYTES[algorithm]))
    throw s3Error("InvalidRequest", `The value of ${field} is not valid.`);
  return { algorithm, value };
};

const isChecksumField = (name: string): boolean => name.startsWith(PREFIX) && !OTHERS.has(name);

const onlyOne = <Value>(values: readonly Value[]): Value | undefined => {
  if (values.length > 1) throw s3Error("InvalidRequest", "Only one checksum can be given.");
  return values[0];
};

/** The checksum in the header, if there is one. Fails with InvalidRequest or NotImplemented. */
export const headerChecksum = (fields: RequestFields): GivenChecksum | undefined => {
  const name = onlyOne([...fields.names()].filter((candidate) => isChecksumField(candidate)));
  return name === undefined ? undefined : readChecksum(name, fields.get(name) ?? "");
};

/** The same of a multipart object as a whole, which may be a checksum of checksums: `value-parts`. */
export const wholeChecksum = (fields: RequestFields): Checksum | undefined => {
  const name = onlyOne([...fields.names()].filter((candidate) => isChecksumField(candidate)));
  if (name === undefined) return undefined;
  const [, value = "", parts] = /^(?<value>[^-]*)(?<parts>-\d{1,5})?$/u.exec(fields.get(name) ?? "") ?? [];
  const given = readChecksum(name, value);
  const type =
    parts === undefined && fields.get("x-amz-checksum-type") !== "COMPOSITE" ? "FULL_OBJECT" : "COMPOSITE";
  return { algorithm: given.algorithm, value: value + (parts ?? ""), type };
};

/** The names of the fields that x-amz-trailer announces. */
export const trailerNames = (fields: RequestFields): readonly string[] =>
  (fields.get("x-amz-trailer") ?? "")
    .split(",")
    .flatMap((name) => (name.trim() === "" ? [] : [name.trim().toLowerCase()]));

/** Which checksum is to come in the trailing header. Fails as `headerChecksum`. */
export const trailerAlgorithm = (names: readonly string[]): ChecksumAlgorithm | undefined => {
  const name = onlyOne(names.filter((candidate) => isChecksumField(candidate)));
  return name === undefined ? undefined : algorithmOf(name);
};

/** The field for one. */
export const checksumField = (algorithm: ChecksumAlgorithm): string => PREFIX + algorithm;

/** What a reply says of an object's checksum. */
export const checksumReply = (checksum: Checksum | undefined): Readonly<Record<string, string>> =>
  checksum === undefined
    ? {}
    : { [checksumField(checksum.algorithm)]: checksum.value, "x-amz-checksum-type": checksum.type };

/** Content-MD5 in hexadecimal; undefined without one. Fails with InvalidDigest. */
export const contentMd5 = (fields: RequestFields): string | undefined => {
  const text = fields.get("content-md5");
  if (text === undefined) return undefined;
  if (!isBase64Of(text, 16)) throw s3Error("InvalidDigest");
  return Buffer.from(text, "base64").toString("hex");
};
