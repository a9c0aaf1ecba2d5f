import { existsSync } from "node:fs";
import { link, mkdir, open, readdir, readFile, rm, stat } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { join } from "node:path";

import { formatLock, type Lock, parseLock } from "@ol/bundle";
import type { FiledLock, LockKey, LockStore } from "@ol/lambda";

/** No lambda can have that name. */
const LOCKS = ".locks";
/** Of one lambda; older code is not coming back, and if it does it is resolved anew. */
const KEPT = 20;

/** Locks beside the code of a local registry: REGISTRY/.locks/NAME/DIGEST-PYTHON-MACHINE.txt. */
export class LocalLockStore implements LockStore {
  readonly #isThere: (lambda: string) => boolean;
  readonly #directory: string;

  /** `isThere` says which lambdas there are; default: those with a directory or a packed bundle in the registry. */
  constructor(registryDir: string, isThere?: (lambda: string) => boolean) {
    this.#isThere =
      isThere ??
      ((lambda) => ["", ".tar.gz"].some((ending) => existsSync(join(registryDir, `${lambda}${ending}`))));
    this.#directory = join(registryDir, LOCKS);
  }

  async read(key: LockKey): Promise<Lock | undefined> {
    const file = this.#fileOf(key);
    try {
      return parseLock(await readFile(file, "utf8"), fileName(key));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  async write(key: LockKey, lock: Lock): Promise<Lock> {
    const directory = join(this.#directory, key.lambda);
    await mkdir(directory, { recursive: true });
    const fresh = join(directory, `.${randomBytes(8).toString("hex")}`);
    try {
      const file = await open(fresh, "wx", 0o644);
      try {
        await file.writeFile(formatLock(lock));
        await file.sync();
      } finally {
        await file.close();
      }
      // Under its name it is whole, or another one was there first.
      await link(fresh, this.#fileOf(key));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      const first = await this.#readable(key);
      if (first?.requirements === lock.requirements) return first;
      await rm(this.#fileOf(key), { force: true });
      await link(fresh, this.#fileOf(key));
    } finally {
      await rm(fresh, { force: true });
    }
    await this.#prune(directory);
    return lock;
  }

  /**
   * Every lock of every lambda that is still in the registry; those of others are removed unless `dryRun`. What cannot be read
   * is told to `unreadable`, and counts for nothing.
   */
  async all(
    dryRun: boolean,
    unreadable: (file: string, error: unknown) => void,
  ): Promise<readonly FiledLock[]> {
    const found: FiledLock[] = [];
    for (const lambda of await namesIn(this.#directory)) {
      const directory = join(this.#directory, lambda);
      if (!this.#isThere(lambda)) {
        if (!dryRun) await rm(directory, { recursive: true, force: true });
        continue;
      }
      for (const name of (await namesIn(directory)).filter((name) => !name.startsWith(".")))
        try {
          found.push({ lambda, lock: parseLock(await readFile(join(directory, name), "utf8"), name) });
        } catch (error) {
          unreadable(`${lambda}/${name}`, error);
        }
    }
    return found;
  }

  async #readable(key: LockKey): Promise<Lock | undefined> {
    try {
      return await this.read(key);
    } catch {
      // Somebody has damaged it: the new one takes its place.
      return undefined;
    }
  }

  async #prune(directory: string): Promise<void> {
    const names = (await readdir(directory)).filter((name) => !name.startsWith("."));
    if (names.length <= KEPT) return;
    const aged = await Promise.all(
      names.map(async (name) => ({ name, mtimeMs: (await stat(join(directory, name))).mtimeMs })),
    );
    aged.sort((one, other) => other.mtimeMs - one.mtimeMs);
    for (const { name } of aged.slice(KEPT)) await rm(join(directory, name), { force: true });
  }

  #fileOf(key: LockKey): string {
    return join(this.#directory, key.lambda, fileName(key));
  }
}

const namesIn = async (directory: string): Promise<readonly string[]> => {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
};

const fileName = ({ digest, python, machine }: LockKey): string =>
  `${digest.replaceAll(/[^A-Za-z0-9]/gu, "-")}-${python}-${machine}.txt`;
