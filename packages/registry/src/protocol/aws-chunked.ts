import { createHash } from "node:crypto";

import { s3Error } from "../s3-error.ts";
import { ByteReader } from "./byte-reader.ts";
import type { ChunkSigner } from "./chunk-signer.ts";
import { sameHex } from "./signature.ts";

/** A chunk's length in hexadecimal and its signature are much shorter. */
const MOST_HEAD_BYTES = 256;
const MOST_TRAILER_BYTES = 1024;
const TRAILER_SIGNATURE = "x-amz-trailer-signature";

/** How a body in aws-chunked pieces must be. */
export interface ChunkedBody {
  /** x-amz-decoded-content-length. */
  readonly length: number;
  /** Absent: the chunks are not signed. */
  readonly signer?: ChunkSigner;
  /** The fields that x-amz-trailer names, in lower case; absent: there is no trailing header. */
  readonly trailers?: readonly string[];
}

/**
 * Takes off the framing of a body in aws-chunked pieces. What a chunk holds is passed on before its signature is
 * checked: nothing may be done with it before all of it has come. Returns the trailing header's fields. Fails with
 * SignatureDoesNotMatch, IncompleteBody, InvalidRequest or what `source` fails with.
 */
export async function* decodeChunks(
  source: AsyncIterable<Uint8Array>,
  body: ChunkedBody,
): AsyncGenerator<Buffer, ReadonlyMap<string, string>> {
  const reader = new ByteReader(source);
  try {
    let left = body.length;
    for (;;) {
      const { size, signature } = readHead(await reader.line(MOST_HEAD_BYTES), body.signer !== undefined);
      if (size > left)
        throw s3Error("InvalidRequest", "The content is longer than x-amz-decoded-content-length.");
      left -= size;
      yield* chunkBytes(reader, size, signature, body.signer);
      if (size === 0) break;
      if ((await reader.line(0)) !== "") throw malformed("a chunk is not followed by CRLF");
    }
    if (left > 0) throw s3Error("IncompleteBody");
    const trailers = await readTrailers(reader, body);
    if ((await reader.some(1)) !== undefined) throw malformed("something follows the last chunk");
    return trailers;
  } finally {
    await reader.close();
  }
}

const malformed = (what: string): Error =>
  s3Error("InvalidRequest", `The chunked content is malformed: ${what}.`);

const HEAD = /^(?<size>[0-9a-fA-F]{1,12})(?:;chunk-signature=(?<signature>[0-9a-f]{64}))?$/u;

const readHead = (line: string, signed: boolean): { readonly size: number; readonly signature: string } => {
  const { size, signature } = HEAD.exec(line)?.groups ?? {};
  if (size === undefined) throw malformed("a chunk's head cannot be understood");
  if (signed !== (signature !== undefined))
    throw malformed(
      signed ? "a chunk is not signed" : "a chunk is signed though the request says that none is",
    );
  return { size: Number.parseInt(size, 16), signature: signature ?? "" };
};

async function* chunkBytes(
  reader: ByteReader,
  size: number,
  signature: string,
  signer: ChunkSigner | undefined,
): AsyncGenerator<Buffer, void> {
  const hash = signer === undefined ? undefined : createHash("sha256");
  for (let left = size; left > 0;) {
    const bytes = await reader.some(left);
    if (bytes === undefined) throw s3Error("IncompleteBody");
    hash?.update(bytes);
    left -= bytes.length;
    yield bytes;
  }
  if (hash !== undefined && signer !== undefined && !sameHex(signer.chunk(hash.digest("hex")), signature))
    throw s3Error("SignatureDoesNotMatch", "A chunk's signature does not match.");
}

/** What is between the last chunk's head and the end: with a trailing header or without, it ends with an empty line. */
const readTrailers = async (reader: ByteReader, body: ChunkedBody): Promise<ReadonlyMap<string, string>> => {
  const { signer, trailers: names } = body;
  const found = new Map<string, string>();
  let signature: string | undefined;
  for (;;) {
    // Some clients end a field with LF before the CRLF, as an example in S3's documentation does.
    const line = (await reader.line(MOST_TRAILER_BYTES)).trimEnd();
    if (line === "") break;
    const at = line.indexOf(":");
    const name = line.slice(0, Math.max(0, at)).toLowerCase();
    const value = line.slice(at + 1).trim();
    if (name === TRAILER_SIGNATURE && signature === undefined) signature = value;
    else if (names?.includes(name) === true && !found.has(name) && signature === undefined)
      found.set(name, value);
    else throw malformed("its trailing header has a field that x-amz-trailer does not name, or one twice");
  }
  for (const name of names ?? [])
    if (!found.has(name)) throw malformed(`its trailing header lacks ${name}, which x-amz-trailer names`);
  if (names === undefined || signer === undefined) {
    if (signature !== undefined)
      throw malformed("its trailing header is signed though the request says it is not");
    return found;
  }
  const lines = [...found].map(([name, value]) => `${name}:${value}\n`).join("");
  if (signature === undefined || !sameHex(signer.trailer(lines), signature))
    throw s3Error("SignatureDoesNotMatch", "The trailing header's signature does not match.");
  return found;
};
