import { createHash, randomBytes } from "node:crypto";
import {
  type BigIntStats,
  chmodSync,
  closeSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  writeSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";

import { isOlError } from "@ol/common";

import { bundleError } from "./errors.ts";
import { changed, readFault, writeFault } from "./fault.ts";
import { type BundleReadOptions, fingerprintOf, listDirectory } from "./fingerprint.ts";
import { DEFAULT_BUNDLE_LIMITS } from "./limits.ts";
import { Pace } from "./pace.ts";
import { TreeReader, type TreeVisitor } from "./tree-reader.ts";

/** A copy of a code directory as it was at one moment. */
export interface Snapshot {
  /** SHA-256, in hexadecimal, over every path, mode and content. Equal code has equal digests on any machine. */
  readonly digest: string;
  /** What fingerprintDirectory says of the state that was copied. */
  readonly fingerprint: string;
  /** Bytes of all files. */
  readonly bytes: number;
}

/** A copy of a directory that is being written at the same time is tried again this often. */
const ATTEMPTS = 3;
const CHUNK_BYTES = 256 * 1024;
const ANY_EXECUTE = 0o111n;

/** Writes what a TreeReader finds below `target`, and keeps the list from which the digest is made. */
class Copier implements TreeVisitor {
  readonly #target: string;
  readonly #pace: Pace;
  readonly #lines: string[] = [];
  readonly #buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  bytes = 0;

  constructor(target: string, pace: Pace) {
    this.#target = target;
    this.#pace = pace;
  }

  directory(path: string): void {
    const made = join(this.#target, path);
    try {
      mkdirSync(made);
      // Whatever the umask: the sandbox's own uid has to read it.
      chmodSync(made, 0o755);
    } catch (error) {
      throw writeFault(error);
    }
    this.#lines.push(`${path}\0d`);
  }

  async file(path: string, fd: number, stats: BigIntStats): Promise<void> {
    const mode = (stats.mode & ANY_EXECUTE) === 0n ? 0o644 : 0o755;
    const made = join(this.#target, path);
    const hash = createHash("sha256");
    let out: number;
    try {
      out = openSync(made, "wx", mode);
    } catch (error) {
      throw writeFault(error);
    }
    try {
      const length = await this.#content(path, fd, out, stats.size, (data) => hash.update(data));
      const after = fstatSync(fd, { bigint: true });
      const same = after.ctimeNs === stats.ctimeNs && after.mtimeNs === stats.mtimeNs;
      if (!same || BigInt(length) !== stats.size) throw changed(path);
      this.bytes += length;
    } finally {
      closeSync(out);
    }
    chmodSync(made, mode);
    this.#lines.push(`${path}\0${mode.toString(8)}\0${hash.digest("hex")}`);
  }

  async #content(
    path: string,
    from: number,
    to: number,
    size: bigint,
    seen: (data: Buffer) => void,
  ): Promise<number> {
    let length = 0;
    for (;;) {
      let count: number;
      try {
        count = readSync(from, this.#buffer);
      } catch (error) {
        throw readFault(error, path);
      }
      if (count === 0) return length;
      length += count;
      // A file that grows for ever must not be followed.
      if (BigInt(length) > size) throw changed(path);
      const data = this.#buffer.subarray(0, count);
      seen(data);
      try {
        for (let written = 0; written < count;) written += writeSync(to, data, written);
      } catch (error) {
        throw writeFault(error);
      }
      if (this.#pace.due(count)) await this.#pace.rest();
    }
  }

  digest(): string {
    const hash = createHash("sha256").update("openlambda bundle v1\n");
    // By bytes, not by locale: the digest is the same everywhere.
    for (const line of this.#lines.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))))
      hash.update(`${Buffer.byteLength(line)}:`).update(line);
    return hash.digest("hex");
  }
}

const copyOnce = async (
  directory: string,
  temporary: string,
  options: BundleReadOptions,
): Promise<Snapshot> => {
  const limits = options.limits ?? DEFAULT_BUNDLE_LIMITS;
  const pace = new Pace(options.signal);
  const nowMs = Date.now();
  const before = await listDirectory(directory, limits, pace, options.skip);
  try {
    // Private until it is whole.
    mkdirSync(temporary, { mode: 0o700 });
  } catch (error) {
    throw writeFault(error);
  }
  const copier = new Copier(temporary, pace);
  await new TreeReader(copier, limits, pace, options.skip).read(directory);
  const after = await listDirectory(directory, limits, pace, options.skip);
  if (after.text !== before.text) throw changed("");
  chmodSync(temporary, 0o755);
  return { digest: copier.digest(), fingerprint: fingerprintOf(before, nowMs), bytes: copier.bytes };
};

const exists = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

/**
 * Copies the code in `directory` to `target`, which must not exist while its parent must. The copy holds only
 * directories (0755) and regular files (0644, or 0755 if anybody may execute it); links that stay inside are
 * copied as what they lead to. It appears under its name whole or not at all, and it is what the directory
 * held at one moment: while somebody writes, the copy is made again, at most three times. It is not synced to
 * the disk. The directory may be hostile: see TreeReader.
 *
 * Fails with OL_BUNDLE_NOT_FOUND, _UNREADABLE, _UNSAFE_FILE, _TOO_LARGE, _CHANGING, _TARGET_EXISTS or
 * _WRITE_FAILED; nothing of the copy stays then.
 */
export const snapshotDirectory = async (
  directory: string,
  target: string,
  options: BundleReadOptions = {},
): Promise<Snapshot> => {
  for (let attempt = 1; ; attempt++) {
    if (exists(target))
      throw bundleError(
        "OL_BUNDLE_TARGET_EXISTS",
        "the directory for the copy of the lambda's code exists already",
      );
    const temporary = `${target}.tmp-${randomBytes(6).toString("hex")}`;
    try {
      const snapshot = await copyOnce(directory, temporary, options);
      renameSync(temporary, target);
      return snapshot;
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      if (isOlError(error, "OL_BUNDLE_CHANGING") && attempt < ATTEMPTS) continue;
      throw isOlError(error) || options.signal?.aborted === true ? error : writeFault(error);
    }
  }
};
