import { type BundleLimits, DEFAULT_BUNDLE_LIMITS } from "./limits.ts";

/** How much a packed bundle may be, and become. */
export interface PackedLimits extends BundleLimits {
  /** Of the .tar.gz itself. */
  readonly maxPackedBytes: number;
  /** Of one file. */
  readonly maxFileBytes: number;
  /** Unpacked bytes for each packed one, once there are more than RATIO_FREE_BYTES of them. */
  readonly maxRatio: number;
  /** Of a file's path within the bundle, in UTF-8. */
  readonly maxPathBytes: number;
}

/**
 * Code compresses to a fourth, a table of numbers to a tenth; gzip can do 1,030 times at most, and only with nothing but
 * repetition. Paths of 1,024 bytes leave room below the kernel's 4,096 for wherever they are unpacked.
 */
export const DEFAULT_PACKED_LIMITS: PackedLimits = {
  ...DEFAULT_BUNDLE_LIMITS,
  maxPackedBytes: 100 * 1024 * 1024,
  maxFileBytes: DEFAULT_BUNDLE_LIMITS.maxBytes,
  maxRatio: 200,
  maxPathBytes: 1024,
};

/** So much may come out of the smallest bundle: it does no harm, and small ones of much repetition are common. */
export const RATIO_FREE_BYTES: number = 16 * 1024 * 1024;
