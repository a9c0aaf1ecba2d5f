import { createReadStream, existsSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";

import {
  DEFAULT_PACKED_LIMITS,
  fingerprintDirectory,
  isLambdaName,
  LAMBDA_CONFIG_FILE,
  type PackedLimits,
  parseReference,
  readLambdaConfig,
  readPackedConfig,
  readRequirements,
  snapshotDirectory,
} from "@ol/bundle";
import { isOlError, type Logger, silentLogger } from "@ol/common";
import { type CodeSource, type LambdaCode, lambdaError } from "@ol/lambda";

import { CodeDirectories } from "./code-directories.ts";
import { fingerprintFile, unpackFile } from "./packed-file.ts";

/** Where a LocalCodeSource reads and writes. */
export interface LocalCodeSourceOptions {
  /** The cluster's registry: NAME/f.py ..., or NAME.tar.gz. */
  readonly registryDir: string;
  /** The sandbox engine's `codeDir`, owned by the source: it is emptied at the start. */
  readonly codeDir: string;
  /** Of packed bundles; default: DEFAULT_PACKED_LIMITS. */
  readonly limits?: Partial<PackedLimits>;
  readonly logger?: Logger;
}

const PACKED = ".tar.gz";

/**
 * Code from a directory on this machine: NAME/f.py and so on, or packed as NAME.tar.gz; where there are both, the directory
 * counts. A sandbox never sees that directory: it gets a snapshot under
 * codeDir/NAME@DIGEST, so that who edits a file changes no running lambda and uploads are never visible half-done.
 */
export class LocalCodeSource implements CodeSource, AsyncDisposable {
  readonly #registryDir: string;
  readonly #limits: PackedLimits;
  readonly #directories: CodeDirectories;
  /** `min_instances` by lambda, and when the file that says so was changed. */
  readonly #minInstances = new Map<string, { readonly changedMs: number; readonly count: number }>();

  /** Empties codeDir, as CodeDirectories does. */
  static async create(options: LocalCodeSourceOptions): Promise<LocalCodeSource> {
    const { codeDir, logger = silentLogger } = options;
    return new LocalCodeSource(options, await CodeDirectories.create(codeDir, logger));
  }

  private constructor(options: LocalCodeSourceOptions, directories: CodeDirectories) {
    this.#registryDir = options.registryDir;
    this.#limits = { ...DEFAULT_PACKED_LIMITS, ...options.limits };
    this.#directories = directories;
  }

  async resolve(name: string, signal: AbortSignal): Promise<LambdaCode> {
    const place = this.#placeOf(name);
    const fresh = this.#directories.fresh();
    const { digest, fingerprint } = await known(
      name,
      place.packed
        ? unpackFile(place.path, fresh, this.#limits, signal)
        : snapshotDirectory(place.path, fresh, { signal }),
    );
    const dir = `${name}@${digest}`;
    await this.#directories.adopt(dir, fresh);
    return this.#code({ name, digest, dir, stamp: fingerprint });
  }

  async current(name: string, signal: AbortSignal): Promise<string> {
    const { path, packed } = this.#placeOf(name);
    return await known(name, packed ? fingerprintFile(path) : fingerprintDirectory(path, { signal }));
  }

  async kept(signal: AbortSignal): Promise<readonly string[]> {
    const names = new Set<string>();
    for (const file of await readdir(this.#registryDir)) {
      const packed = file.endsWith(PACKED);
      const name = packed ? file.slice(0, -PACKED.length) : file;
      if (!isLambdaName(name)) continue;
      // A note that somebody has left there, or an editor.
      const isDirectory =
        statSync(join(this.#registryDir, file), { throwIfNoEntry: false })?.isDirectory() === true;
      if (!packed && !isDirectory) continue;
      // Reading is synchronous, and there may be a thousand of them.
      await setImmediate();
      signal.throwIfAborted();
      if ((await this.#minInstancesOf(name, signal)) > 0) names.add(name);
    }
    return [...names];
  }

  release({ dir }: LambdaCode): void {
    this.#directories.release(dir);
  }

  /** Settles when what was released is removed. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#directories[Symbol.asyncDispose]();
  }

  /** What its ol.yaml says now; read only if it was changed since. */
  async #minInstancesOf(name: string, signal: AbortSignal): Promise<number> {
    const { path, packed } = this.#placeOf(name);
    const file = statSync(packed ? path : join(path, LAMBDA_CONFIG_FILE), { throwIfNoEntry: false });
    if (file === undefined) return 0;
    const known = this.#minInstances.get(name);
    if (known?.changedMs === file.ctimeMs) return known.count;
    let count = 0;
    try {
      const config = packed
        ? await readPackedConfig(createReadStream(path), { limits: this.#limits, signal })
        : readLambdaConfig(path);
      count = config.minInstances ?? 0;
    } catch (error) {
      // Its author hears of the mistake with the first call; a file that is gone since is no lambda.
      if (!isOlError(error) && (error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    this.#minInstances.set(name, { changedMs: file.ctimeMs, count });
    return count;
  }

  async #code(found: Pick<LambdaCode, "name" | "digest" | "dir" | "stamp">): Promise<LambdaCode> {
    const directory = this.#directories.pathOf(found.dir);
    try {
      const config = readLambdaConfig(directory);
      const read = await readRequirements(directory);
      return { ...found, config, ...(read !== undefined && { requirements: read.requirements }) };
    } catch (error) {
      this.#directories.release(found.dir);
      throw error;
    }
  }

  /** Where its code is: a directory NAME, else a packed NAME.tar.gz. */
  #placeOf(name: string): { readonly path: string; readonly packed: boolean } {
    const reference = parseReference(name);
    if (reference.tag !== undefined || reference.digest !== undefined)
      throw lambdaError(
        "OL_LAMBDA_UNKNOWN",
        `there is no lambda ${name}: a local registry has no tags and no older versions`,
      );
    const path = join(this.#registryDir, reference.name);
    const file = `${path}${PACKED}`;
    const packed = !existsSync(path) && existsSync(file);
    return { path: packed ? file : path, packed };
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
