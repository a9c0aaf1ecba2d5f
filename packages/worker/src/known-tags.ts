import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { isLambdaName } from "@ol/bundle";
import { isDigest } from "@ol/registry-client";

/** What a registry said a tag points at. */
export interface KnownTag {
  /** What the source calls that state of the tag. */
  readonly stamp: string;
  readonly digest: string;
  readonly signature?: string;
  readonly minInstances?: number;
}

const isKnownTag = (value: unknown): value is KnownTag => {
  if (typeof value !== "object" || value === null) return false;
  const { stamp, digest, signature, minInstances } = value as Record<string, unknown>;
  return (
    typeof stamp === "string" &&
    typeof digest === "string" &&
    isDigest(digest) &&
    (signature === undefined || typeof signature === "string") &&
    (minInstances === undefined || typeof minInstances === "number")
  );
};

/**
 * What the tags pointed at when they were last asked for, on disk: for a worker that is started while the registry is down.
 * One file each, written by whichever worker of the cluster asked last.
 */
export class KnownTags {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Undefined if nothing is known, or what is written there is not sound. */
  async read(name: string, tag: string): Promise<KnownTag | undefined> {
    let value: unknown;
    try {
      value = JSON.parse(await readFile(this.#fileOf(name, tag), "utf8"));
    } catch (error) {
      if (error instanceof SyntaxError || isNoFile(error)) return undefined;
      throw error;
    }
    return isKnownTag(value) ? value : undefined;
  }

  async write(name: string, tag: string, known: KnownTag): Promise<void> {
    const file = this.#fileOf(name, tag);
    const { stamp, digest, signature, minInstances } = known;
    await mkdir(dirname(file), { recursive: true });
    const fresh = join(dirname(file), `.${randomBytes(8).toString("hex")}`);
    try {
      await writeFile(fresh, JSON.stringify({ stamp, digest, signature, minInstances }));
      await rename(fresh, file);
    } finally {
      await rm(fresh, { force: true });
    }
  }

  /** The registry has no such tag (any more). */
  async forget(name: string, tag: string): Promise<void> {
    await rm(this.#fileOf(name, tag), { force: true });
    try {
      await rmdir(join(this.#directory, name));
    } catch (error) {
      if (!["ENOENT", "ENOTEMPTY"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    }
  }

  /** Whether anything was ever known of the lambda, and not forgotten. */
  hasLambda(name: string): boolean {
    return existsSync(join(this.#directory, name));
  }

  /** Everything that is known. */
  async all(): Promise<readonly (KnownTag & { readonly name: string; readonly tag: string })[]> {
    const found = [];
    for (const name of await namesIn(this.#directory)) {
      if (!isLambdaName(name)) continue;
      for (const file of await namesIn(join(this.#directory, name))) {
        if (file.startsWith(".") || !file.endsWith(".json")) continue;
        const tag = file.slice(0, -".json".length);
        const known = await this.read(name, tag);
        if (known !== undefined) found.push({ ...known, name, tag });
      }
    }
    return found;
  }

  #fileOf(name: string, tag: string): string {
    return join(this.#directory, name, `${tag}.json`);
  }
}

const namesIn = async (directory: string): Promise<readonly string[]> => {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isNoFile(error)) return [];
    throw error;
  }
};

/** There is none, or something else is there. */
const isNoFile = (error: unknown): boolean =>
  ["ENOENT", "ENOTDIR", "EISDIR"].includes((error as NodeJS.ErrnoException).code ?? "");
