import type { Lock } from "@ol/bundle";

/** Names one lock: what one version of a lambda's code was resolved to, for one Python on one kind of machine. */
export interface LockKey {
  readonly lambda: string;
  /** Of the lambda's code. */
  readonly digest: string;
  /** Such as `3.11`. */
  readonly python: string;
  /** Such as `x86_64`. */
  readonly machine: string;
}

/** A lock, and the lambda that it is filed under. */
export interface FiledLock {
  readonly lambda: string;
  readonly lock: Lock;
}

/** Keeps locks where every worker that runs the same code finds them. The first one written counts. */
export interface LockStore {
  /** Undefined if there is none. Fails with a system's error, and OL_BUNDLE_BAD_LOCK for one that cannot be read. */
  read(key: LockKey): Promise<Lock | undefined>;
  /** Writes a lock if there is none; returns the one that counts. */
  write(key: LockKey, lock: Lock): Promise<Lock>;
}
