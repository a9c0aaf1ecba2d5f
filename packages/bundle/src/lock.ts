import { bundleError } from "./errors.ts";
import { isNormalizedPackageName } from "./package-name.ts";
import { normalizeVersion } from "./version.ts";

/** One package at one version. */
export interface Pin {
  /** As normalizePackageName has it. */
  readonly name: string;
  /** As normalizeVersion has it. */
  readonly version: string;
  /** The SHA-256 of the files that are this version, in hex, sorted; at least one. */
  readonly hashes: readonly string[];
  /** The names of the pins of the same lock that it needs directly, sorted. */
  readonly requires: readonly string[];
}

/** What a lambda's requirements were resolved to. */
export interface Lock {
  /** For this Python, such as `3.11`. */
  readonly python: string;
  /** On this machine, such as `x86_64`. */
  readonly machine: string;
  /** The requirementsDigest of what was resolved. */
  readonly requirements: string;
  /** Sorted by name, each name once. */
  readonly pins: readonly Pin[];
}

/** A lock with more than this is not one that we wrote: 1,000 packages with 40 files each. */
export const MAX_LOCK_BYTES: number = 4 * 1024 * 1024;

const DIGEST = /^[0-9a-f]{64}$/u;
const PYTHON = /^[1-9][0-9]?\.[0-9]{1,3}$/u;
const MACHINE = /^[a-z0-9_]{1,32}$/u;

/** What is wrong with a lock, or why there is none. */
export const badLock = (message: string): Error => bundleError("OL_BUNDLE_BAD_LOCK", message);

const isDigest = (text: string): boolean => DIGEST.test(text);

/** Whether they are in order, and none is there twice. */
const isSorted = (texts: readonly string[]): boolean =>
  texts.every((text, index) => index === 0 || (texts[index - 1] as string) < text);

/** What is wrong with a pin by itself; undefined if nothing is. */
export const pinFault = ({ name, version, hashes, requires }: Pin): string | undefined => {
  if (!isNormalizedPackageName(name)) return "its name is none in its one spelling";
  if (normalizeVersion(version) !== version) return "its version is none in its one spelling";
  if (hashes.length === 0) return "it has no hash";
  if (!hashes.every(isDigest)) return "a hash is not 64 hex digits";
  if (!isSorted(hashes)) return "its hashes are not sorted";
  if (!requires.every(isNormalizedPackageName)) return "it requires something that is no name";
  if (!isSorted(requires)) return "what it requires is not sorted";
  return undefined;
};

/** What is wrong with a lock apart from its pins. */
export const headFault = ({ python, machine, requirements }: Omit<Lock, "pins">): string | undefined => {
  if (!PYTHON.test(python)) return "its Python is no version such as 3.11";
  if (!MACHINE.test(machine)) return "its machine is no word such as x86_64";
  return isDigest(requirements) ? undefined : "its requirements are not 64 hex digits";
};

/** What is wrong with the pins together. */
export const pinsFault = (pins: readonly Pin[]): string | undefined => {
  const names = new Set(pins.map(({ name }) => name));
  if (!isSorted(pins.map(({ name }) => name))) return "the pins are not sorted, or one is there twice";
  for (const { name, requires } of pins) {
    const missing = requires.find((other) => !names.has(other));
    if (missing !== undefined) return `${name} requires ${missing}, which is not pinned`;
  }
  return undefined;
};

/**
 * The pins that these need, themselves included, sorted by name. Fails with OL_BUNDLE_BAD_LOCK if one of the names is not
 * pinned.
 */
export const closure = (lock: Lock, names: Iterable<string>): readonly Pin[] => {
  const pins = new Map(lock.pins.map((pin) => [pin.name, pin]));
  const needed = new Set(names);
  // A set that grows while it is gone through: what is added comes up later, once.
  for (const name of needed) {
    const pin = pins.get(name);
    if (pin === undefined) throw badLock(`the lock has no pin for ${JSON.stringify(name.slice(0, 100))}`);
    for (const other of pin.requires) needed.add(other);
  }
  return lock.pins.filter(({ name }) => needed.has(name));
};
