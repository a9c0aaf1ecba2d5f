import { createHash } from "node:crypto";
import { setMaxListeners } from "node:events";

import {
  type BodyDigests,
  type ChecksumAlgorithm,
  type IncomingBody,
  type PutRequest,
  s3Error,
} from "../../src/index.ts";

/** A signal that never comes. */
export const NEVER: AbortSignal = new AbortController().signal;
// Many listen to it at once.
setMaxListeners(0, NEVER);

export interface BodyOptions {
  readonly pieceBytes?: number;
  readonly algorithms?: readonly ChecksumAlgorithm[];
  readonly verify?: (digests: BodyDigests) => void;
  /** What happens before the first byte. */
  readonly first?: () => Promise<void>;
  /** What happens after the last byte, before the end. */
  readonly last?: () => Promise<void>;
}

/** As a client may send it: in pieces of any size. */
export const bodyOf = (content: string | Uint8Array, options: BodyOptions = {}): IncomingBody => ({
  bytes: inPieces(Buffer.from(content), options),
  algorithms: options.algorithms ?? [],
  verify: options.verify ?? (() => undefined),
});

/** A `verify` to which nothing is right. */
export const refuse = (): never => {
  throw s3Error("BadDigest");
};

export const putOf = (
  content: string | Uint8Array,
  more: Omit<Partial<PutRequest>, "body"> = {},
): PutRequest => ({
  headers: {},
  body: bodyOf(content),
  ...more,
});

export const md5Of = (content: string | Uint8Array): string =>
  createHash("md5").update(content).digest("hex");
export const sha256Of = (content: string | Uint8Array): string =>
  createHash("sha256").update(content).digest("hex");

async function* inPieces(content: Buffer, options: BodyOptions): AsyncGenerator<Uint8Array, void> {
  const { pieceBytes = 65_536, first, last } = options;
  await first?.();
  for (let at = 0; at < content.length; at += pieceBytes) yield content.subarray(at, at + pieceBytes);
  await last?.();
}
