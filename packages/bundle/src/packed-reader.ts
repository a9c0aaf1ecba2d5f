import { createHash } from "node:crypto";

import type { BundleNames } from "./bundle-names.ts";
import { GzipReader } from "./gzip-reader.ts";
import { Pace } from "./pace.ts";
import type { PackedLimits } from "./packed-limits.ts";
import { slicesOf } from "./slices.ts";
import { TarReader, type TarVisitor } from "./tar-reader.ts";

/** What a packed bundle was found to be. */
export interface PackedBundle {
  /** SHA-256, in hexadecimal, of the packed bytes. */
  readonly digest: string;
  readonly packedBytes: number;
  /** Files and directories. */
  readonly entries: number;
  /** Of all files, unpacked. */
  readonly bytes: number;
}

/** What unpackBundle and packBundle can be told. */
export interface PackedOptions {
  readonly limits?: PackedLimits;
  readonly signal?: AbortSignal;
}

/** Small, since up to 1,030 times as much may come out of it and is held in memory. */
const SLICE_BYTES = 16 * 1024;

/** Reads a packed bundle once, as it comes; `names` are those that the visitor takes. Fails as its parts do. */
export const readPacked = async (
  source: AsyncIterable<Uint8Array>,
  visitor: TarVisitor,
  names: BundleNames,
  limits: PackedLimits,
  signal: AbortSignal | undefined,
): Promise<PackedBundle> => {
  const hash = createHash("sha256");
  const tar = new TarReader(visitor, limits);
  const pace = new Pace(signal);
  using gzip = new GzipReader(limits);
  for await (const slice of slicesOf(source, SLICE_BYTES, signal)) {
    hash.update(slice);
    for await (const piece of gzip.read(slice)) {
      tar.write(piece);
      if (pace.due(piece.length)) await pace.rest();
    }
  }
  gzip.end();
  tar.end();
  return {
    digest: hash.digest("hex"),
    packedBytes: gzip.packedBytes,
    entries: names.count,
    bytes: tar.bytes,
  };
};
