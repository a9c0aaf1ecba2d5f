import { randomBytes } from "node:crypto";
import { type BigIntStats, createReadStream, fstatSync, linkSync, lstatSync, readSync } from "node:fs";
import { rm } from "node:fs/promises";

import { isOlError } from "@ol/common";

import { BundleNames } from "./bundle-names.ts";
import { bundleError } from "./errors.ts";
import { changed, readFault, writing } from "./fault.ts";
import { type BundleReadOptions, listDirectory } from "./fingerprint.ts";
import { GzipWriter } from "./gzip-writer.ts";
import { inspectBundle } from "./inspect.ts";
import { Pace } from "./pace.ts";
import { sizeText, tooLarge } from "./packed-fault.ts";
import { DEFAULT_PACKED_LIMITS, type PackedLimits } from "./packed-limits.ts";
import type { PackedBundle, PackedOptions } from "./packed-reader.ts";
import { ARCHIVE_END, entryHeader, padding } from "./tar-writer.ts";
import { TreeReader, type TreeVisitor } from "./tree-reader.ts";

/** What packBundle can be told. */
export interface PackOptions extends PackedOptions, Pick<BundleReadOptions, "skip"> {}

/** A directory that is being written at the same time is tried again this often. */
const ATTEMPTS = 3;
const CHUNK_BYTES = 256 * 1024;
const ANY_EXECUTE = 0o111n;

/** Writes what a TreeReader finds into an archive. */
class Packer implements TreeVisitor {
  readonly #gzip: GzipWriter;
  readonly #limits: PackedLimits;
  readonly #names: BundleNames;
  readonly #buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  /** Headers that are not written yet. */
  #headers: Buffer[] = [];

  constructor(gzip: GzipWriter, limits: PackedLimits) {
    this.#gzip = gzip;
    this.#limits = limits;
    this.#names = new BundleNames(limits);
  }

  directory(found: string): void {
    for (const path of this.#names.directory(found))
      this.#headers.push(entryHeader({ path, type: "directory", executable: true, size: 0 }));
  }

  async file(found: string, fd: number, stats: BigIntStats): Promise<void> {
    const { path } = this.#names.file(found);
    const size = Number(stats.size);
    if (size > this.#limits.maxFileBytes)
      throw tooLarge(
        `${JSON.stringify(path.slice(0, 200))} in the lambda's code is larger than ${sizeText(this.#limits.maxFileBytes)}`,
      );
    const executable = (stats.mode & ANY_EXECUTE) !== 0n;
    this.#headers.push(entryHeader({ path, type: "file", executable, size }));
    await this.#flush();
    await this.#content(found, fd, size);
    const after = fstatSync(fd, { bigint: true });
    if (after.ctimeNs !== stats.ctimeNs || after.mtimeNs !== stats.mtimeNs) throw changed(found);
    await this.#gzip.write(padding(size));
  }

  async finish(): Promise<void> {
    await this.#flush();
    await this.#gzip.write(ARCHIVE_END);
  }

  async #flush(): Promise<void> {
    const headers = Buffer.concat(this.#headers);
    this.#headers = [];
    await this.#gzip.write(headers);
  }

  async #content(path: string, fd: number, size: number): Promise<void> {
    for (let left = size; left > 0;) {
      const count = readPiece(path, fd, this.#buffer.subarray(0, left));
      if (count === 0) throw changed(path);
      left -= count;
      await this.#gzip.write(this.#buffer.subarray(0, count));
    }
  }
}

const readPiece = (path: string, fd: number, into: Buffer): number => {
  try {
    return readSync(fd, into);
  } catch (error) {
    throw readFault(error, path);
  }
};

const packOnce = async (
  directory: string,
  file: string,
  { limits = DEFAULT_PACKED_LIMITS, signal, skip }: PackOptions,
): Promise<PackedBundle> => {
  const pace = new Pace(signal);
  const before = await listDirectory(directory, limits, pace, skip);
  using gzip = new GzipWriter(file);
  const packer = new Packer(gzip, limits);
  await new TreeReader(packer, limits, pace, skip).read(directory);
  await packer.finish();
  const { digest } = await gzip.finish();
  const after = await listDirectory(directory, limits, pace, skip);
  if (after.text !== before.text) throw changed("");
  // Whoever gets it refuses what is over the limits; so it is read once as they will read it.
  const bundle = await inspectBundle(createReadStream(file), {
    limits,
    ...(signal !== undefined && { signal }),
  });
  if (bundle.digest !== digest)
    throw bundleError(
      "OL_BUNDLE_WRITE_FAILED",
      "the packed bundle is not what was written; is the disk damaged?",
    );
  return bundle;
};

/**
 * Packs the code in `directory` into `file`, a .tar.gz that must not exist. It holds what a snapshot of the directory
 * does, names in NFC and in the order of their bytes, without owners and times: equal code makes equal files, whoever packs it
 * and wherever, as long as the same zlib compresses it. unpackBundle takes every file that this makes, with the same
 * limits. It appears under its name whole or not at all, and is synced to the disk.
 *
 * Fails as snapshotDirectory and unpackBundle do; nothing stays then.
 */
export const packBundle = async (
  directory: string,
  file: string,
  options: PackOptions = {},
): Promise<PackedBundle> => {
  for (let attempt = 1; ; attempt += 1) {
    if (lstatSync(file, { throwIfNoEntry: false }) !== undefined)
      throw bundleError("OL_BUNDLE_TARGET_EXISTS", "the file for the packed bundle exists already");
    const temporary = `${file}.tmp-${randomBytes(6).toString("hex")}`;
    try {
      const bundle = await packOnce(directory, temporary, options);
      // Not a rename: that would replace a file which came to be there meanwhile.
      writing(() => linkSync(temporary, file));
      return bundle;
    } catch (error) {
      if (isOlError(error, "OL_BUNDLE_CHANGING") && attempt < ATTEMPTS) continue;
      throw error;
    } finally {
      await rm(temporary, { force: true });
    }
  }
};
