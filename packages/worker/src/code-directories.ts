import { randomBytes } from "node:crypto";
import { lstatSync, renameSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";

import { type Logger, messageOf } from "@ol/common";

/** For what is being made, and for old versions until they are removed; no lambda can have that name. */
const UNUSED = ".unused";

/**
 * The directories of code that one worker's sandboxes see, below the engine's `codeDir`: each is there from its first use
 * to its last. Nothing else writes there.
 */
export class CodeDirectories implements AsyncDisposable {
  readonly #codeDir: string;
  readonly #logger: Logger;
  /** Is told of each directory that is no longer used. */
  onUnused: (dir: string) => void = () => undefined;
  /** How many uses there are, by directory. */
  readonly #uses = new Map<string, number>();
  readonly #removing = new Set<Promise<void>>();

  /**
   * Empties codeDir, which a worker that was killed may have left full. The directory itself stays: the engine may
   * have opened it.
   */
  static async create(codeDir: string, logger: Logger): Promise<CodeDirectories> {
    await mkdir(join(codeDir, UNUSED), { recursive: true });
    for (const name of await readdir(codeDir))
      await rm(join(codeDir, name), { recursive: true, force: true });
    await mkdir(join(codeDir, UNUSED));
    return new CodeDirectories(codeDir, logger);
  }

  private constructor(codeDir: string, logger: Logger) {
    this.#codeDir = codeDir;
    this.#logger = logger;
  }

  pathOf(dir: string): string {
    return join(this.#codeDir, dir);
  }

  /** A path at which to make what is then adopted. */
  fresh(): string {
    return join(this.#codeDir, UNUSED, `new-${randomBytes(8).toString("hex")}`);
  }

  /** Counts a use of a directory that is there; false if it is not. */
  use(dir: string): boolean {
    const uses = this.#uses.get(dir);
    if (uses === undefined) return false;
    this.#uses.set(dir, uses + 1);
    return true;
  }

  /** Counts a use of the directory, which is `fresh` unless it was there already; false in that case. */
  async adopt(dir: string, fresh: string): Promise<boolean> {
    let moved = false;
    try {
      // No await before the use is counted: a removal must not come between.
      moved = this.#move(fresh, dir);
      this.#uses.set(dir, (this.#uses.get(dir) ?? 0) + 1);
    } finally {
      if (!moved) await rm(fresh, { recursive: true, force: true });
    }
    return moved;
  }

  /** One use less; with the last the directory goes. */
  release(dir: string): void {
    const uses = (this.#uses.get(dir) ?? 1) - 1;
    if (uses > 0) this.#uses.set(dir, uses);
    else this.#remove(dir);
  }

  /** Settles when what was released is removed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#removing);
  }

  /** False if it is there already. */
  #move(fresh: string, dir: string): boolean {
    const target = this.pathOf(dir);
    if (lstatSync(target, { throwIfNoEntry: false }) !== undefined) return false;
    renameSync(fresh, target);
    return true;
  }

  #remove(dir: string): void {
    this.#uses.delete(dir);
    const trash = join(this.#codeDir, UNUSED, randomBytes(8).toString("hex"));
    const removed = this.#removeVia(dir, trash);
    this.#removing.add(removed);
    void removed.finally(() => this.#removing.delete(removed));
  }

  async #removeVia(dir: string, trash: string): Promise<void> {
    try {
      // At once out of the way: the same version may come again before it is all gone.
      renameSync(this.pathOf(dir), trash);
      this.onUnused(dir);
      await rm(trash, { recursive: true, force: true });
    } catch (error) {
      this.#logger.warn("an old version of a lambda's code could not be removed", {
        code: dir,
        error: messageOf(error),
      });
    }
  }
}
