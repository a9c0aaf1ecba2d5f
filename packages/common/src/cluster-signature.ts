import { createHmac, timingSafeEqual } from "node:crypto";

/** For so long a signed message is believed, in ms; clocks of a cluster's machines may differ by less. */
export const SIGNATURE_AGE_MS = 30_000;

/** Where the parts of a signature stand in a request. */
export const SIGNATURE_HEADER = {
  /** When it was signed, in ms since 1970. */
  time: "x-ol-time",
  /** HMAC-SHA256 in hex. */
  signature: "x-ol-signature",
} as const;

/** What is signed of a request. */
export interface SignedRequest {
  readonly method: string;
  /** With its query, as it stands in the request. */
  readonly path: string;
  readonly body: string | Buffer;
  /** In ms since 1970. */
  readonly timeMs: number;
}

/** HMAC-SHA256 over the request with the cluster's token, in hex. */
export const signRequest = (token: string, { method, path, body, timeMs }: SignedRequest): string =>
  createHmac("sha256", token)
    .update(`ol-request\n${method}\n${path}\n${timeMs}\n`)
    .update(body)
    .digest("hex");

/** Whether `signature` is the one of this request. Takes as long for a wrong one as for the right one. */
export const isSignatureOf = (token: string, request: SignedRequest, signature: string): boolean =>
  equal(signRequest(token, request), signature);

/**
 * What a worker answers to prove that it knows the token without showing it: over the nonce that it was asked with and
 * the id that it goes by, so that an answer is good for one question to one worker.
 */
export const proofOf = (token: string, id: string, nonce: string): string =>
  createHmac("sha256", token).update(`ol-proof\n${id}\n${nonce}`).digest("hex");

/** Whether `proof` is the answer of a worker that knows the token. */
export const isProofOf = (token: string, id: string, nonce: string, proof: string): boolean =>
  equal(proofOf(token, id, nonce), proof);

const equal = (expected: string, given: string): boolean => {
  const [one, other] = [Buffer.from(expected), Buffer.from(given)];
  return one.length === other.length && timingSafeEqual(one, other);
};
