import type { Pin, Requirement } from "@ol/bundle";

import { lambdaError } from "../errors.ts";

/** One package that a lock names, and where it is or will be. */
export interface LockedPackage extends Pin {
  /** Names the very files: `name==version` and a hash of what they may be. */
  readonly id: string;
  /** Relative to the engine's `packagesDir`. */
  readonly directory: string;
}

/** One package, installed for sandboxes to import from. */
export interface InstalledPackage extends LockedPackage {
  /** The top-level names that can be imported from it, sorted. */
  readonly modules: readonly string[];
}

/** All packages of one version of a lambda's code: what it names, and what those need. */
export interface InstalledSet {
  /** Equal for equal sets. */
  readonly key: string;
  /** Sorted by name. */
  readonly packages: readonly InstalledPackage[];
}

/** Of what packages are wanted. */
export interface PackageRequest {
  /** The lambda, for messages and to file the lock under. */
  readonly lambda: string;
  /** The digest of its code: what is not pinned is resolved again when that changes. */
  readonly digest: string;
  readonly requirements: readonly Requirement[];
}

/** Where a lambda's packages come from. */
export interface PackageSource {
  /**
   * Settles when they are installed; whoever asks for the same waits for the same. Fails with OL_LAMBDA_BAD_PACKAGES, of
   * which the author hears, or OL_LAMBDA_PACKAGES_UNAVAILABLE, which may be over in a moment.
   */
  provide(request: PackageRequest): Promise<InstalledSet>;
  /** What it has done so far, where it counts that. */
  stats?(): PackageStats;
}

/** What a source of packages has done since it was made. */
export interface PackageStats {
  /** Sets of packages that somebody waits for. */
  readonly providing: number;
  /** Sets of requirements that the index was asked about. */
  readonly resolved: number;
  /** Packages. */
  readonly installed: number;
  readonly installedBytes: number;
  readonly compiled: number;
  /** Sets that could not be provided. */
  readonly failed: number;
}

/** Of a manager that installs nothing. */
export const NO_PACKAGE_SOURCE: PackageSource = {
  provide: () =>
    Promise.reject(lambdaError("OL_LAMBDA_PACKAGES_UNAVAILABLE", "this worker installs no packages")),
};

/** What a lambda without requirements has. */
export const NO_PACKAGES: InstalledSet = { key: "", packages: [] };
