import { createHash, randomBytes } from "node:crypto";
import { type BigIntStats, lstatSync, statSync } from "node:fs";
import { join } from "node:path";

import { namesIn } from "./directory-names.ts";
import { bundleError } from "./errors.ts";
import { readFault } from "./fault.ts";
import { type BundleLimits, DEFAULT_BUNDLE_LIMITS } from "./limits.ts";
import { Pace } from "./pace.ts";

/**
 * The kernel stamps files with the time of its last tick, at most 10 ms old. What was written within this time
 * before a look may be written again without any stamp changing.
 */
const STAMP_DOUBT_MS = 50;

/** What stat says about a whole directory, and when the last of it changed. */
export interface Listing {
  readonly text: string;
  readonly newestMs: number;
}

const lineOf = (path: string, stats: BigIntStats): string =>
  [path, stats.ino, stats.mode, stats.size, stats.mtimeNs, stats.ctimeNs].join("\0");

const attempt = <T>(path: string, act: () => T): T => {
  try {
    return act();
  } catch (error) {
    throw readFault(error, path);
  }
};

/** Stats everything below `directory` without opening or following anything in it. */
export const listDirectory = async (
  directory: string,
  limits: BundleLimits,
  pace: Pace,
  skip: (name: string) => boolean = () => false,
): Promise<Listing> => {
  const root = attempt("", () => statSync(directory, { bigint: true }));
  if (!root.isDirectory()) throw bundleError("OL_BUNDLE_NOT_FOUND", "the lambda's code is not a directory");
  const lines = [lineOf("", root)];
  let newest = root.ctimeNs;
  const pending = [""];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const here = path;
    const names = namesIn(join(directory, here), here).filter((name) => !skip(name));
    if (lines.length + names.length - 1 > limits.maxEntries)
      throw bundleError("OL_BUNDLE_TOO_LARGE", `the lambda's code has more than ${limits.maxEntries} files`);
    for (const name of names) {
      const child = here === "" ? name : `${here}/${name}`;
      const stats = attempt(child, () => lstatSync(join(directory, child), { bigint: true }));
      lines.push(lineOf(child, stats));
      if (stats.ctimeNs > newest) newest = stats.ctimeNs;
      if (stats.isDirectory()) pending.push(child);
      if (pace.due()) await pace.rest();
    }
  }
  return { text: lines.sort().join("\n"), newestMs: Number(newest / 1_000_000n) };
};

/** Turns a listing made at `nowMs` into a fingerprint. */
export const fingerprintOf = (listing: Listing, nowMs: number): string => {
  const hash = createHash("sha256").update(listing.text);
  // Too fresh to be trusted: this fingerprint will equal no later one, so the next look reads the code again.
  if (nowMs - listing.newestMs < STAMP_DOUBT_MS) hash.update(randomBytes(16));
  return hash.digest("hex");
};

/** What fingerprintDirectory and snapshotDirectory can be told. */
export interface BundleReadOptions {
  readonly limits?: BundleLimits;
  /** Names of files and directories that are no code, wherever they are; default: none. */
  readonly skip?: (name: string) => boolean;
  readonly signal?: AbortSignal;
}

/**
 * A cheap word for the state of a code directory: names, sizes, times and inodes, no content. Two equal ones
 * mean unchanged code; two different ones that it may have changed, and the digest of a snapshot decides.
 * Fails with OL_BUNDLE_NOT_FOUND, _UNREADABLE, _CHANGING or _TOO_LARGE.
 */
export const fingerprintDirectory = async (
  directory: string,
  options: BundleReadOptions = {},
): Promise<string> => {
  const nowMs = Date.now();
  const listing = await listDirectory(
    directory,
    options.limits ?? DEFAULT_BUNDLE_LIMITS,
    new Pace(options.signal),
    options.skip,
  );
  return fingerprintOf(listing, nowMs);
};
