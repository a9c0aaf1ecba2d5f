import { randomBytes } from "node:crypto";
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

import { BundleNames } from "./bundle-names.ts";
import { bundleError } from "./errors.ts";
import { writing } from "./fault.ts";
import { DEFAULT_PACKED_LIMITS } from "./packed-limits.ts";
import { type PackedBundle, type PackedOptions, readPacked } from "./packed-reader.ts";
import type { TarVisitor } from "./tar-reader.ts";

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
    const bundle = await readPacked(source, extractor, names, limits, signal);
    writing(() => chmodSync(temporary, 0o755));
    writing(() => renameSync(temporary, target));
    return bundle;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
};
