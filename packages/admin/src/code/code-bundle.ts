import { createReadStream, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import {
  type CheckedCode,
  checkCode,
  DEFAULT_PACKED_LIMITS,
  packBundle,
  type PackedBundle,
  type PackedLimits,
  type PackedOptions,
  snapshotDirectory,
  unpackBundle,
} from "@ol/bundle";
import { systemReason } from "@ol/common";
import { bundleLimitsOf, type WorkerTemplate } from "@ol/config";

import { usageError } from "../cli/arguments.ts";
import type { Context } from "../cli/command.ts";
import { adminError, errnoOf } from "../errors.ts";
import { shown } from "../text.ts";
import { cloneInto } from "./git-clone.ts";
import { parseGitSource } from "./git-source.ts";

/** What no lambda needs, and what differs from machine to machine: compiled files, repositories, what an editor leaves. */
const NO_CODE = new Set(["__pycache__", ".git", ".hg", ".svn", ".DS_Store"]);

/** Names of files and directories that are left out of what is uploaded. */
export const isNoCode = (name: string): boolean => NO_CODE.has(name);

/** A lambda's code that can be sent: checked, and packed in the one way that equal code has. */
export interface CodeBundle extends PackedBundle, CheckedCode, AsyncDisposable {
  /** The .tar.gz; gone with this object. */
  readonly file: string;
  /** The same unpacked; it may be moved away. */
  readonly directory: string;
}

interface Surroundings extends Pick<Context, "cwd" | "environment" | "signal"> {
  /** Default: DEFAULT_PACKED_LIMITS. */
  readonly limits?: PackedLimits;
}

/** What the workers of a cluster take, by its template. */
export const packedLimitsOf = (template: WorkerTemplate): PackedLimits => {
  const { packedBytes, unpackedBytes, files } = bundleLimitsOf(template);
  return {
    ...DEFAULT_PACKED_LIMITS,
    maxPackedBytes: packedBytes,
    maxBytes: unpackedBytes,
    maxFileBytes: unpackedBytes,
    maxEntries: files,
  };
};

/** Settles when the code is at `target`. */
const bring = async (
  given: string,
  target: string,
  temporary: string,
  context: Surroundings,
): Promise<void> => {
  const options = optionsOf(context);
  const path = resolve(context.cwd, given);
  const stats = statSync(path, { throwIfNoEntry: false });
  const git = stats === undefined ? parseGitSource(given) : undefined;
  if (git !== undefined) {
    const clone = await cloneInto(git, join(temporary, "clone"), context);
    await snapshotDirectory(clone, target, { ...options, skip: isNoCode });
  } else if (stats === undefined) throw usageError(`--file: there is no file or directory ${shown(path)}`);
  else if (stats.isDirectory()) await snapshotDirectory(path, target, { ...options, skip: isNoCode });
  else if (stats.isFile()) await unpackFile(path, target, options);
  else throw usageError(`--file: ${shown(path)} is neither a directory nor a .tar.gz`);
};

const optionsOf = ({ signal, limits = DEFAULT_PACKED_LIMITS }: Surroundings): Required<PackedOptions> => ({
  signal,
  limits,
});

const unpackFile = async (path: string, target: string, options: PackedOptions): Promise<void> => {
  try {
    await unpackBundle(createReadStream(path), target, options);
  } catch (error) {
    if (errnoOf(error)?.startsWith("E") !== true) throw error;
    throw adminError("OL_ADMIN_FILE", `cannot read ${path}: ${systemReason(error)}`, { cause: error });
  }
};

/**
 * Makes a bundle of `given`: a .tar.gz, a directory, or a git repository's address. It is copied or unpacked, checked, and packed
 * anew, so that what is sent is never what somebody else's tar has made. Fails as @ol/bundle's functions do, with OL_ADMIN_USAGE,
 * OL_ADMIN_BUNDLE and OL_ADMIN_FILE; nothing stays then.
 */
export const makeCodeBundle = async (given: string, context: Surroundings): Promise<CodeBundle> => {
  const temporary = await mkdtemp(join(tmpdir(), "ol-upload-"));
  const discard = (): Promise<void> => rm(temporary, { recursive: true, force: true });
  try {
    const directory = join(temporary, "code");
    await bring(given, directory, temporary, context);
    const checked = await checkCode(directory);
    const file = join(temporary, "code.tar.gz");
    const packed = await packBundle(directory, file, optionsOf(context));
    return { ...checked, ...packed, file, directory, [Symbol.asyncDispose]: discard };
  } catch (error) {
    await discard();
    throw error;
  }
};
