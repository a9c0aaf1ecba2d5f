import { randomBytes } from "node:crypto";
import { constants, type Stats } from "node:fs";
import {
  copyFile,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";

import { isDigest } from "@ol/registry-client";

/** Where a shelf is. */
export interface BundleShelfOptions {
  /** Shared by the workers of a cluster. */
  readonly directory: string;
  /** Of the worker, unique in the cluster: what it makes lies below `.new/NAME` until it is whole. */
  readonly worker: string;
  /** So many bytes of code that nobody uses are kept, in case it is wanted again. */
  readonly maxUnusedBytes: number;
  /** What was added or used so short a time ago is about to be used. In ms. */
  readonly graceMs: number;
}

/** The bundle itself, within its entry. */
const TREE = "tree";
/** A file that whoever uses the entry has another name of: how many do is what the kernel counts. */
const USE = "use";
/** Is there once everything else is on the disk. */
const DURABLE = "durable";
const FRESH = ".new";

interface UseFile {
  /** When the machine was started that wrote the entry: until it is started anew, what was written is there. */
  readonly boot: string;
  /** Of all files. */
  readonly bytes: number;
}

/**
 * Unpacked bundles by digest, shared by the workers of a cluster. Nobody uses an entry in place: a worker has hard links to
 * its files in a directory of its own. So nobody can remove or change what another one uses, however either ends; and an
 * entry may be removed at any moment, since who finds it gone fetches it anew.
 */
export class BundleShelf {
  readonly #options: BundleShelfOptions;
  readonly #fresh: string;
  readonly #boot: string;

  /** Makes the directory, and removes what this worker had left unfinished there. */
  static async open(options: BundleShelfOptions): Promise<BundleShelf> {
    const fresh = join(options.directory, FRESH, options.worker);
    await rm(fresh, { recursive: true, force: true });
    await mkdir(fresh, { recursive: true });
    const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
    return new BundleShelf(options, fresh, boot);
  }

  private constructor(options: BundleShelfOptions, fresh: string, boot: string) {
    this.#options = options;
    this.#fresh = fresh;
    this.#boot = boot;
  }

  get directory(): string {
    return this.#options.directory;
  }

  /** A path at which to make something on the same file system. */
  fresh(): string {
    return join(this.#fresh, randomBytes(8).toString("hex"));
  }

  /**
   * Makes `target` a tree of the bundle's files, and `claim` the mark of its use, which is to go with it. False if there is
   * no such bundle; then neither is there.
   */
  async take(digest: string, target: string, claim: string): Promise<boolean> {
    const entry = this.#entry(digest);
    try {
      if (!(await this.has(digest))) return false;
      await linkFile(join(entry, USE), claim);
      await linkTree(join(entry, TREE), target);
      // Which are wanted least is seen by the time of the last use.
      await utimes(join(entry, USE), new Date(), new Date());
      return true;
    } catch (error) {
      await rm(claim, { force: true });
      await rm(target, { recursive: true, force: true });
      // Removed in between.
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
  }

  /** Whether the bundle is there. One that may have been written only in part when the machine lost its power is removed. */
  async has(digest: string): Promise<boolean> {
    const entry = this.#entry(digest);
    const use = await readUse(join(entry, USE));
    if (use !== undefined && (use.boot === this.#boot || (await statOf(join(entry, DURABLE))) !== undefined))
      return true;
    if (use !== undefined || (await statOf(entry)) !== undefined) await this.#remove(digest);
    return false;
  }

  /** Puts an unpacked bundle there; `tree` is gone then. Does nothing if another one was first. */
  async add(digest: string, tree: string, bytes: number): Promise<void> {
    const fresh = this.fresh();
    try {
      await mkdir(fresh);
      await rename(tree, join(fresh, TREE));
      await writeFile(join(fresh, USE), JSON.stringify({ boot: this.#boot, bytes } satisfies UseFile));
      await rename(fresh, this.#entry(digest));
    } catch (error) {
      await rm(fresh, { recursive: true, force: true });
      if (!["ENOTEMPTY", "EEXIST"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    }
  }

  /** Sees to it that the bundle is there after a power cut as well. Until then it is believed only as long as the machine runs. */
  async settle(digest: string, signal: AbortSignal): Promise<void> {
    const entry = this.#entry(digest);
    try {
      if ((await statOf(join(entry, DURABLE))) !== undefined) return;
      await syncTree(entry, signal);
      await writeFile(join(entry, DURABLE), "", { flush: true });
    } catch (error) {
      // Removed in between.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }

  /**
   * Removes what no worker uses and `isWanted` does not name; of what it names and nobody uses, the longest unused goes
   * beyond `maxUnusedBytes`. Returns how many went.
   */
  async collect(isWanted: (digest: string) => boolean): Promise<number> {
    const unused: { readonly digest: string; readonly usedMs: number; readonly bytes: number }[] = [];
    for (const digest of await readdir(this.directory)) {
      if (!isDigest(digest)) continue;
      const use = join(this.#entry(digest), USE);
      const found = await statOf(use);
      if (found !== undefined && (found.nlink > 1 || Date.now() - found.mtimeMs < this.#options.graceMs))
        continue;
      const usedMs = found === undefined || !isWanted(digest) ? 0 : found.mtimeMs;
      unused.push({ digest, usedMs, bytes: (await readUse(use))?.bytes ?? 0 });
    }
    let leftBytes = this.#options.maxUnusedBytes;
    let removed = 0;
    for (const { digest, usedMs, bytes } of unused.toSorted((one, other) => other.usedMs - one.usedMs)) {
      leftBytes -= bytes;
      if (usedMs > 0 && leftBytes >= 0) continue;
      await this.#remove(digest);
      removed += 1;
    }
    return removed;
  }

  async #remove(digest: string): Promise<void> {
    const trash = this.fresh();
    try {
      await rename(this.#entry(digest), trash);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
      throw error;
    }
    await rm(trash, { recursive: true, force: true });
  }

  #entry(digest: string): string {
    return join(this.directory, digest);
  }
}

const statOf = async (path: string): Promise<Stats | undefined> => {
  try {
    return await stat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
};

const readUse = async (path: string): Promise<UseFile | undefined> => {
  try {
    const value = JSON.parse(await readFile(path, "utf8")) as Partial<UseFile> | null;
    return typeof value?.boot === "string" && typeof value.bytes === "number"
      ? { boot: value.boot, bytes: value.bytes }
      : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
};

/** A second name for the file, or a copy where the two places are on different file systems. */
const linkFile = async (from: string, to: string): Promise<void> => {
  try {
    await link(from, to);
  } catch (error) {
    if (!["EXDEV", "EMLINK", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    await copyFile(from, to, constants.COPYFILE_EXCL);
  }
};

/** There is nothing but directories and files: unpackBundle made it. */
const linkTree = async (from: string, to: string): Promise<void> => {
  await mkdir(to, { mode: 0o755 });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    await (entry.isDirectory() ? linkTree(source, target) : linkFile(source, target));
  }
};

const syncTree = async (path: string, signal: AbortSignal): Promise<void> => {
  signal.throwIfAborted();
  if ((await lstat(path)).isDirectory())
    for (const name of await readdir(path)) await syncTree(join(path, name), signal);
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
};
