import { createHash, createHmac, timingSafeEqual } from "node:crypto";

import { percentEncode } from "./percent.ts";
import type { Query } from "./request-target.ts";

// AWS signature version 4, as docs.aws.amazon.com describes it under "Authenticating Requests (AWS Signature Version 4)".

export const ALGORITHM = "AWS4-HMAC-SHA256";
export const SERVICE = "s3";
export const TERMINATOR = "aws4_request";

/** What a signing key is good for. */
export interface Scope {
  /** `20261129` */
  readonly date: string;
  readonly region: string;
}

export const scopeText = ({ date, region }: Scope): string => `${date}/${region}/${SERVICE}/${TERMINATOR}`;

const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();

/** The key that signs everything of one day, region and secret key. */
export const signingKey = (secretKey: string, { date, region }: Scope): Buffer =>
  [date, region, SERVICE, TERMINATOR].reduce<string | Buffer>(hmac, `AWS4${secretKey}`) as Buffer;

export const sha256Hex = (data: string | Uint8Array): string =>
  typeof data === "string"
    ? createHash("sha256").update(data, "latin1").digest("hex")
    : createHash("sha256").update(data).digest("hex");

/** In hexadecimal. */
export const signatureOf = (key: Buffer, text: string): string => hmac(key, text).toString("hex");

/** Whether both are the same hexadecimal text, in a time that does not tell where they differ. */
export const sameHex = (a: string, b: string): boolean => {
  const [left, right] = [Buffer.from(a, "latin1"), Buffer.from(b, "latin1")];
  return left.length === right.length && timingSafeEqual(left, right);
};

/** What a request's signature is made over. */
export interface SignedParts {
  readonly method: string;
  /** Percent-encoded. */
  readonly path: string;
  readonly query: Query;
  /** Names in lower case, in the order of SignedHeaders, with their values as sent (bytes as Latin-1). */
  readonly fields: readonly (readonly [name: string, values: readonly string[]])[];
  readonly payloadHash: string;
}

const canonicalValue = (values: readonly string[]): string =>
  values.map((value) => value.trim().replaceAll(/\s+/gu, " ")).join(",");

const compare = (a: string, b: string): number => (a < b ? -1 : Number(a > b));

const canonicalQuery = ({ pairs }: Query): string =>
  pairs
    .filter(([name]) => name !== "X-Amz-Signature")
    .map(([name, value]) => [percentEncode(name), percentEncode(value)] as const)
    .sort(([nameA, valueA], [nameB, valueB]) => compare(nameA, nameB) || compare(valueA, valueB))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");

/** The text whose hash is signed, as Latin-1. */
export const canonicalRequest = ({ method, path, query, fields, payloadHash }: SignedParts): string =>
  [
    method,
    path,
    canonicalQuery(query),
    ...fields.map(([name, values]) => `${name}:${canonicalValue(values)}`),
    "",
    fields.map(([name]) => name).join(";"),
    payloadHash,
  ].join("\n");

/** `time` is `20261129T093042Z`. */
export const stringToSign = (time: string, scope: Scope, canonical: string): string =>
  [ALGORITHM, time, scopeText(scope), sha256Hex(canonical)].join("\n");
