import { chmod, link, mkdir, open, symlink, unlink } from "node:fs/promises";
import { join } from "node:path";

import { isOlError, systemReason } from "@ol/common";

import { errnoOf } from "../errors.ts";
import { shown } from "../text.ts";
import { parentsOf } from "./entry-name.ts";
import { baseFailure } from "./failure.ts";

// Nobody but the owner may change what sandboxes run, and no program of a stranger's image gets its owner's rights here.
const KEPT_MODE = 0o755;
const OWNER_FILE = 0o600;
const OWNER_DIRECTORY = 0o700;

/**
 * Makes a tree of files in a directory that nobody else writes to, from what an archive says that nobody vouches for. No
 * link is ever followed: whatever lies in the way to a path was made here as a directory, and each file is a new one. Paths
 * are those of `entryPath`. Everything belongs to whoever we are. Fails with OL_ADMIN_BASE.
 */
export class TreeWriter {
  readonly #root: string;
  readonly #directories = new Set<string>([""]);

  /** `root` is there, and empty. */
  constructor(root: string) {
    this.#root = root;
  }

  async directory(path: string, mode: number): Promise<void> {
    await this.#makeParents(path);
    if (!this.#directories.has(path)) await this.#makeDirectory(path);
    // Its own top is open whatever the archive says: else no sandbox could be made of it.
    const kept = path === "" ? KEPT_MODE : (mode & KEPT_MODE) | OWNER_DIRECTORY;
    await this.#act(path, () => chmod(this.#at(path), kept));
  }

  async file(path: string, mode: number, content: AsyncIterable<Uint8Array>): Promise<void> {
    await using file = await this.#make(path, () => open(this.#at(path), "wx", OWNER_FILE));
    for await (const bytes of content)
      await this.#act(path, async () => {
        for (let at = 0; at < bytes.length;) at += (await file.write(bytes, at)).bytesWritten;
      });
    await this.#act(path, () => file.chmod((mode & KEPT_MODE) | OWNER_FILE));
  }

  /** What it leads to is text here, and looked up in the base only where sandboxes use it. */
  symbolicLink(path: string, target: string): Promise<void> {
    return this.#make(path, () => symlink(target, this.#at(path)));
  }

  /** Another name for what is at `target` by now. */
  async hardLink(path: string, target: string): Promise<void> {
    if (path === target) return;
    const foreign = parentsOf(target).find((parent) => !this.#directories.has(parent));
    if (foreign !== undefined)
      throw baseFailure(
        `the archive's ${shown(path)} is a link to ${shown(target)}, and ${shown(foreign)} is no directory in it`,
      );
    await this.#make(path, () => link(this.#at(target), this.#at(path)));
  }

  /** What comes later in an archive replaces what was there, unless one of both is a directory. */
  async #make<T>(path: string, act: () => Promise<T>): Promise<T> {
    await this.#makeParents(path);
    if (this.#directories.has(path)) throw clash(path);
    return this.#act(path, async () => {
      try {
        return await act();
      } catch (error) {
        if (errnoOf(error) !== "EEXIST") throw error;
        await unlink(this.#at(path));
        return act();
      }
    });
  }

  async #makeParents(path: string): Promise<void> {
    for (const parent of parentsOf(path))
      if (!this.#directories.has(parent)) {
        await this.#makeDirectory(parent);
        await this.#act(parent, () => chmod(this.#at(parent), KEPT_MODE));
      }
  }

  async #makeDirectory(path: string): Promise<void> {
    await this.#act(path, async () => {
      try {
        await mkdir(this.#at(path));
      } catch (error) {
        throw errnoOf(error) === "EEXIST" ? clash(path) : error;
      }
    });
    this.#directories.add(path);
  }

  #at(path: string): string {
    return join(this.#root, path);
  }

  async #act<T>(path: string, act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      if (isOlError(error)) throw error;
      throw baseFailure(`cannot write ${shown(path)} of the base: ${systemReason(error)}`, error);
    }
  }
}

const clash = (path: string): Error =>
  baseFailure(`the archive has ${shown(path)} as a directory, and as something else`);
