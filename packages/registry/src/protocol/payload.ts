import { s3Error } from "../s3-error.ts";
import { sha256Hex } from "./signature.ts";

/** How a request's body is protected, as x-amz-content-sha256 says. */
export type Payload =
  /** Not by the signature. */
  | { readonly kind: "unsigned" }
  /** By its SHA-256, in hexadecimal. */
  | { readonly kind: "hashed"; readonly sha256: string }
  /** It comes in aws-chunked pieces, each signed or none, with a trailing header or without. */
  | { readonly kind: "chunked"; readonly signed: boolean; readonly trailer: boolean };

const CHUNKED: Readonly<Record<string, Payload>> = {
  "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": { kind: "chunked", signed: true, trailer: false },
  "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": { kind: "chunked", signed: true, trailer: true },
  "STREAMING-UNSIGNED-PAYLOAD-TRAILER": { kind: "chunked", signed: false, trailer: true },
};

export const UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD";

/** Reads x-amz-content-sha256. Fails with InvalidRequest. */
export const readPayload = (text: string): Payload => {
  if (text === UNSIGNED_PAYLOAD) return { kind: "unsigned" };
  if (/^[0-9a-f]{64}$/u.test(text)) return { kind: "hashed", sha256: text };
  const chunked = Object.hasOwn(CHUNKED, text) ? CHUNKED[text] : undefined;
  if (chunked === undefined)
    throw s3Error(
      "InvalidRequest",
      `x-amz-content-sha256 must be ${UNSIGNED_PAYLOAD}, a SHA-256 in lower-case hexadecimal, or one of ${Object.keys(CHUNKED).join(", ")}.`,
    );
  return chunked;
};

/** Of nothing. */
export const EMPTY_SHA256: string = sha256Hex("");
