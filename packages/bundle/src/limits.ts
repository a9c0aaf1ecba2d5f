/** How much code a lambda may bring. The defaults allow any real handler and stop a runaway directory early. */
export interface BundleLimits {
  /** Files and directories together, links counted as what they lead to. */
  readonly maxEntries: number;
  /** Sum of all file sizes, in bytes. */
  readonly maxBytes: number;
  /** Directories below one another. */
  readonly maxDepth: number;
}

/**
 * 250 MB is what the large function services take unpacked; 10,000 entries is several times the largest
 * vendored dependency tree seen; 64 levels is deeper than any Python package and far from the kernel's limits.
 */
export const DEFAULT_BUNDLE_LIMITS: BundleLimits = {
  maxEntries: 10_000,
  maxBytes: 250 * 1024 * 1024,
  maxDepth: 64,
};
