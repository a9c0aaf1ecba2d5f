import { randomBytes } from "node:crypto";
import { lstatSync, renameSync, statSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";

import {
  fingerprintDirectory,
  isLambdaName,
  LAMBDA_CONFIG_FILE,
  parseReference,
  readLambdaConfig,
  readRequirements,
  snapshotDirectory,
} from "@ol/bundle";
import { isOlError, type Logger, messageOf, silentLogger } from "@ol/common";
import { type CodeSource, type LambdaCode, lambdaError } from "@ol/lambda";

/** Where a LocalCodeSource reads and writes. */
export interface LocalCodeSourceOptions {
  /** The cluster's registry: NAME/f.py ... */
  readonly registryDir: string;
  /** The sandbox engine's `codeDir`, owned by the source: it is emptied at the start. */
  readonly codeDir: string;
  readonly logger?: Logger;
}

/** For versions that are being copied, and old ones until they are removed; no lambda can have that name. */
const UNUSED = ".unused";

/**
 * Code from a directory on this machine. A sandbox never sees that directory: it gets a snapshot under
 * codeDir/NAME@DIGEST, so that who edits a file changes no running lambda and uploads are never visible half-done.
 */
export class LocalCodeSource implements CodeSource, AsyncDisposable {
  readonly #registryDir: string;
  readonly #codeDir: string;
  readonly #logger: Logger;
  /** How many `resolve`s without `release` there are, by directory. */
  readonly #uses = new Map<string, number>();
  readonly #removing = new Set<Promise<void>>();
  /** `min_instances` by lambda, and when the file that says so was changed. */
  readonly #minInstances = new Map<string, { readonly changedMs: number; readonly count: number }>();

  /**
   * Empties codeDir, which a worker that was killed may have left full. The directory itself stays: the engine may
   * have opened it.
   */
  static async create(options: LocalCodeSourceOptions): Promise<LocalCodeSource> {
    await mkdir(join(options.codeDir, UNUSED), { recursive: true });
    for (const name of await readdir(options.codeDir))
      await rm(join(options.codeDir, name), { recursive: true, force: true });
    await mkdir(join(options.codeDir, UNUSED));
    return new LocalCodeSource(options);
  }

  private constructor({ registryDir, codeDir, logger }: LocalCodeSourceOptions) {
    this.#registryDir = registryDir;
    this.#codeDir = codeDir;
    this.#logger = logger ?? silentLogger;
  }

  async resolve(name: string, signal: AbortSignal): Promise<LambdaCode> {
    const directory = this.#directoryOf(name);
    const fresh = join(this.#codeDir, UNUSED, `new-${randomBytes(8).toString("hex")}`);
    const { digest, fingerprint } = await known(name, snapshotDirectory(directory, fresh, { signal }));
    const dir = await this.#adopt(name, digest, fresh);
    return this.#code({ name, digest, dir, stamp: fingerprint });
  }

  current(name: string, signal: AbortSignal): Promise<string> {
    return known(name, fingerprintDirectory(this.#directoryOf(name), { signal }));
  }

  async kept(signal: AbortSignal): Promise<readonly string[]> {
    const names: string[] = [];
    for (const name of await readdir(this.#registryDir)) {
      if (!isLambdaName(name)) continue;
      // Reading is synchronous, and there may be a thousand of them.
      await setImmediate();
      signal.throwIfAborted();
      if (this.#minInstancesOf(name) > 0) names.push(name);
    }
    return names;
  }

  release({ dir }: LambdaCode): void {
    const uses = (this.#uses.get(dir) ?? 1) - 1;
    if (uses > 0) this.#uses.set(dir, uses);
    else this.#remove(dir);
  }

  /** Settles when what was released is removed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#removing);
  }

  /** What its ol.yaml says now; read only if it was changed since. */
  #minInstancesOf(name: string): number {
    const directory = join(this.#registryDir, name);
    const file = statSync(join(directory, LAMBDA_CONFIG_FILE), { throwIfNoEntry: false });
    if (file === undefined) return 0;
    const known = this.#minInstances.get(name);
    if (known?.changedMs === file.ctimeMs) return known.count;
    let count = 0;
    try {
      count = readLambdaConfig(directory).minInstances ?? 0;
    } catch (error) {
      // Its author hears of the mistake with the first call.
      if (!isOlError(error)) throw error;
    }
    this.#minInstances.set(name, { changedMs: file.ctimeMs, count });
    return count;
  }

  async #code(found: Pick<LambdaCode, "name" | "digest" | "dir" | "stamp">): Promise<LambdaCode> {
    const directory = join(this.#codeDir, found.dir);
    try {
      const config = readLambdaConfig(directory);
      const read = await readRequirements(directory);
      return { ...found, config, ...(read !== undefined && { requirements: read.requirements }) };
    } catch (error) {
      this.release({ ...found, config: { environment: {}, limits: {} } });
      throw error;
    }
  }

  /** Counts a use of the version, which is then on disk. */
  async #adopt(name: string, digest: string, fresh: string): Promise<string> {
    const dir = `${name}@${digest}`;
    let moved = false;
    try {
      // No await before the use is counted: a removal must not come between.
      moved = this.#move(fresh, dir);
      this.#uses.set(dir, (this.#uses.get(dir) ?? 0) + 1);
    } finally {
      if (!moved) await rm(fresh, { recursive: true, force: true });
    }
    return dir;
  }

  /** False if the version is there already. */
  #move(fresh: string, dir: string): boolean {
    const target = join(this.#codeDir, dir);
    if (lstatSync(target, { throwIfNoEntry: false }) !== undefined) return false;
    renameSync(fresh, target);
    return true;
  }

  #directoryOf(name: string): string {
    const reference = parseReference(name);
    if (reference.tag !== undefined || reference.digest !== undefined)
      throw lambdaError(
        "OL_LAMBDA_UNKNOWN",
        `there is no lambda ${name}: a local registry has no tags and no older versions`,
      );
    return join(this.#registryDir, reference.name);
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
      renameSync(join(this.#codeDir, dir), trash);
      await rm(trash, { recursive: true, force: true });
    } catch (error) {
      this.#logger.warn("an old version of a lambda's code could not be removed", {
        code: dir,
        error: messageOf(error),
      });
    }
  }
}

/** Puts what the bundle reader says into the words of a code source. */
const known = async <T>(name: string, reading: Promise<T>): Promise<T> => {
  try {
    return await reading;
  } catch (error) {
    if (isOlError(error, "OL_BUNDLE_NOT_FOUND"))
      throw lambdaError("OL_LAMBDA_UNKNOWN", `there is no lambda ${name} in the registry`, { cause: error });
    // Not the lambda's fault, and over in a moment: what runs goes on.
    if (isOlError(error, "OL_BUNDLE_CHANGING"))
      throw lambdaError("OL_LAMBDA_LOAD_FAILED", `the code of ${name} is being written`, { cause: error });
    throw error;
  }
};
