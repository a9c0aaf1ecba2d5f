import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  fchmodSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  writeSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";

import { bundleError } from "./errors.ts";
import { BundleNames } from "./bundle-names.ts";
import { writing } from "./fault.ts";
import { GzipReader } from "./gzip-reader.ts";
import { EMPTY_LAMBDA_CONFIG, type LambdaConfig, parseLambdaConfig } from "./lambda-config.ts";
import { LAMBDA_CONFIG_FILE } from "./lambda-config-file.ts";
import { Pace } from "./pace.ts";
import { DEFAULT_PACKED_LIMITS, type PackedLimits } from "./packed-limits.ts";
import { slicesOf } from "./slices.ts";
import { TarReader, type TarVisitor } from "./tar-reader.ts";
import { MAX_YAML_BYTES } from "./yaml-source.ts";

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

/** Makes the files that a TarReader finds. The directory was made by us and is private: there are no links in it. */
class Extractor implements TarVisitor, Disposable {
  readonly #target: string;
  readonly #names: BundleNames;
  #file: number | undefined;

  constructor(target: string, names: BundleNames) {
    this.#target = target;
    this.#names = names;
  }

  directory(name: string): void {
    this.#make(this.#names.directory(name));
  }

  beginFile(name: string, executable: boolean): void {
    const { path, parents } = this.#names.file(name);
    this.#make(parents);
    const mode = executable ? 0o755 : 0o644;
    const file = writing(() => openSync(join(this.#target, path), "wx", mode));
    this.#file = file;
    writing(() => fchmodSync(file, mode));
  }

  data(bytes: Uint8Array): void {
    writing(() => {
      for (let written = 0; written < bytes.length;)
        written += writeSync(this.#file as number, bytes, written);
    });
  }

  endFile(): void {
    const file = this.#file as number;
    this.#file = undefined;
    closeSync(file);
  }

  [Symbol.dispose](): void {
    if (this.#file !== undefined) closeSync(this.#file);
  }

  #make(directories: readonly string[]): void {
    for (const directory of directories) {
      const path = join(this.#target, directory);
      writing(() => mkdirSync(path));
      // Whatever the umask: the sandbox's own uid has to read it.
      writing(() => chmodSync(path, 0o755));
    }
  }
}

/** Takes only the names down. */
class Listener implements TarVisitor {
  readonly #names: BundleNames;

  constructor(names: BundleNames) {
    this.#names = names;
  }

  directory(name: string): void {
    this.#names.directory(name);
  }

  beginFile(name: string): string {
    return this.#names.file(name).path;
  }

  data(_bytes: Uint8Array): void {}

  endFile(): void {}
}

const readInto = async (
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

/** Keeps the content of one file of the archive. */
class Finder extends Listener {
  readonly #path: string;
  readonly #maxBytes: number;
  #pieces: Uint8Array[] | undefined;
  #bytes = 0;
  #isIt = false;

  constructor(names: BundleNames, path: string, maxBytes: number) {
    super(names);
    this.#path = path;
    this.#maxBytes = maxBytes;
  }

  /** Undefined if the file is not there; at most one byte more than the limit. */
  get content(): Buffer | undefined {
    return this.#pieces === undefined
      ? undefined
      : Buffer.concat(this.#pieces).subarray(0, this.#maxBytes + 1);
  }

  override beginFile(name: string): string {
    const path = super.beginFile(name);
    this.#isIt = path === this.#path;
    if (this.#isIt) this.#pieces = [];
    return path;
  }

  override data(bytes: Uint8Array): void {
    if (!this.#isIt || this.#bytes > this.#maxBytes) return;
    // A copy: what comes is only lent.
    this.#pieces?.push(Buffer.from(bytes));
    this.#bytes += bytes.length;
  }
}

/**
 * The configuration in a packed bundle, as readLambdaConfig has it of a directory; nothing is written. Fails as inspectBundle
 * does, and with OL_BUNDLE_BAD_CONFIG.
 */
export const readPackedConfig = async (
  source: AsyncIterable<Uint8Array>,
  { limits = DEFAULT_PACKED_LIMITS, signal }: PackedOptions = {},
): Promise<LambdaConfig> => {
  const names = new BundleNames(limits);
  const finder = new Finder(names, LAMBDA_CONFIG_FILE, MAX_YAML_BYTES);
  await readInto(source, finder, names, limits, signal);
  const { content } = finder;
  return content === undefined
    ? EMPTY_LAMBDA_CONFIG
    : parseLambdaConfig(content.toString("utf8"), LAMBDA_CONFIG_FILE);
};

/** As unpackBundle, but nothing is written. */
export const inspectBundle = (
  source: AsyncIterable<Uint8Array>,
  { limits = DEFAULT_PACKED_LIMITS, signal }: PackedOptions = {},
): Promise<PackedBundle> => {
  const names = new BundleNames(limits);
  return readInto(source, new Listener(names), names, limits, signal);
};

/**
 * Unpacks a .tar.gz, which may be hostile, to `target`, which must not exist while its parent must. What comes out are
 * directories (0755) and regular files (0644, or 0755 if anybody may execute it), all of them below `target`, owned by
 * whoever we are; everything else is refused, and so is an archive that is damaged, or goes on behind its end. It
 * appears under its name whole or not at all. It is not synced to the disk. `source` is read once, as it comes.
 *
 * Fails with OL_BUNDLE_BAD_ARCHIVE, _UNSAFE_FILE, _TOO_LARGE, _TARGET_EXISTS or _WRITE_FAILED, with the signal's reason,
 * and as the source does; nothing stays then.
 */
export const unpackBundle = async (
  source: AsyncIterable<Uint8Array>,
  target: string,
  { limits = DEFAULT_PACKED_LIMITS, signal }: PackedOptions = {},
): Promise<PackedBundle> => {
  if (lstatSync(target, { throwIfNoEntry: false }) !== undefined)
    throw bundleError(
      "OL_BUNDLE_TARGET_EXISTS",
      "the directory to unpack the lambda's code to exists already",
    );
  const temporary = `${target}.tmp-${randomBytes(6).toString("hex")}`;
  const names = new BundleNames(limits);
  using extractor = new Extractor(temporary, names);
  try {
    // Private until it is whole.
    writing(() => mkdirSync(temporary, { mode: 0o700 }));
    const bundle = await readInto(source, extractor, names, limits, signal);
    writing(() => chmodSync(temporary, 0o755));
    writing(() => renameSync(temporary, target));
    return bundle;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
};
