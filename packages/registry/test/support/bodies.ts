import { createHash } from "node:crypto";
import { setMaxListeners } from "node:events";

import type { BodyDigests, ChecksumAlgorithm, IncomingBody, PutRequest } from "../../src/index.ts";

/** A signal that never comes. */
export const NEVER: AbortSignal = new AbortController().signal;
// Many listen to it at once.
setMaxListeners(0, NEVER);

/** As a client may send it: in pieces of any size. */
export const bodyOf = (
  content: string | Uint8Array,
  options: {
    readonly pieceBytes?: number;
    readonly algorithms?: readonly ChecksumAlgorithm[];
    readonly verify?: (digests: BodyDigests) => void;
  } = {},
): IncomingBody => ({
  bytes: inPieces(Buffer.from(content), options.pieceBytes ?? 65_536),
  algorithms: options.algorithms ?? [],
  verify: options.verify ?? (() => undefined),
});

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

async function* inPieces(content: Buffer, pieceBytes: number): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < content.length; at += pieceBytes) yield content.subarray(at, at + pieceBytes);
}
