import { quoted } from "./fault.ts";
import { sizeText, tooLarge, unsafeEntry } from "./packed-fault.ts";
import type { PackedLimits } from "./packed-limits.ts";

/** Nobody sees these, or they turn the rest of a line around; U+FFFD is what is left of bytes that were no text. */
const INVISIBLE = /[\p{Cc}\u2028\u2029\u202A-\u202E\u2066-\u2069\uFFFD]/u;
/** As long as a name may be on every file system of Linux. */
const MAX_PART_BYTES = 255;

/** What names are alike to file systems that do not tell small letters from capitals. */
const folded = (path: string): string => path.toUpperCase().toLowerCase().normalize("NFC");

interface Known {
  readonly path: string;
  readonly directory: boolean;
}

/** A file's place in a bundle. */
export interface FilePlace {
  readonly path: string;
  /** The directories on the way to it that are not there yet, outermost first. */
  readonly parents: readonly string[];
}

/**
 * The names in a packed bundle, each checked before anything is made by it. They are normalised to NFC, since one and
 * the same name can be written in several ways; `./` before them is dropped. What is left names one place below the
 * bundle's root on every system: no `..`, no empty part, no backslash, no invisible character, and no two that differ
 * in capitals or in how they are written only. Fails with OL_BUNDLE_UNSAFE_FILE and OL_BUNDLE_TOO_LARGE.
 */
export class BundleNames {
  readonly #limits: PackedLimits;
  /** By folded path. */
  readonly #known = new Map<string, Known>();

  constructor(limits: PackedLimits) {
    this.#limits = limits;
  }

  /** Files and directories, those included that are only in the paths of others. */
  get count(): number {
    return this.#known.size;
  }

  /** The directories that are not there yet, `raw` the last of them; none for the root. */
  directory(raw: string): readonly string[] {
    const parts = this.#partsOf(raw, raw.endsWith("/") ? raw.slice(0, -1) : raw);
    return this.#enter(parts);
  }

  /** A file is there once. */
  file(raw: string): FilePlace {
    const parts = this.#partsOf(raw, raw);
    if (parts.length === 0) throw unsafeEntry(raw, "is a file without a name");
    const path = parts.join("/");
    const parents = this.#enter(parts.slice(0, -1));
    const key = folded(path);
    const known = this.#known.get(key);
    if (known !== undefined) throw clash(path, known, "twice");
    this.#add(key, path, false);
    return { path, parents };
  }

  #partsOf(raw: string, name: string): readonly string[] {
    if (Buffer.byteLength(raw) > this.#limits.maxPathBytes)
      throw tooLarge(
        `${quoted(raw)} in the bundle is a path longer than ${sizeText(this.#limits.maxPathBytes)}`,
      );
    if (INVISIBLE.test(raw))
      throw unsafeEntry(raw, "has a name with characters that are invisible or no text");
    if (raw.includes("\\")) throw unsafeEntry(raw, "has a name with a backslash");
    if (raw.startsWith("/")) throw unsafeEntry(raw, "has an absolute path; pack it with a relative one");
    if (raw === "") throw unsafeEntry(raw, "has no name");
    const relative = name.normalize("NFC").replace(/^(?:\.\/)+/u, "");
    if (relative === "." || relative === "") return [];
    const parts = relative.split("/");
    for (const part of parts) {
      if (part === "..") throw unsafeEntry(raw, "leads out of the bundle, by '..'");
      if (part === "" || part === ".") throw unsafeEntry(raw, "has a path with an empty part or '.' in it");
      if (Buffer.byteLength(part) > MAX_PART_BYTES)
        throw unsafeEntry(raw, `has a name longer than ${MAX_PART_BYTES} bytes`);
    }
    return parts;
  }

  #enter(parts: readonly string[]): readonly string[] {
    if (parts.length > this.#limits.maxDepth)
      throw tooLarge(`the bundle is nested more than ${this.#limits.maxDepth} directories deep`);
    const fresh: string[] = [];
    for (let length = 1; length <= parts.length; length += 1) {
      const path = parts.slice(0, length).join("/");
      const key = folded(path);
      const known = this.#known.get(key);
      if (known === undefined) {
        this.#add(key, path, true);
        fresh.push(path);
      } else if (!known.directory || known.path !== path) throw clash(path, known, "both");
    }
    return fresh;
  }

  #add(key: string, path: string, directory: boolean): void {
    if (this.#known.size >= this.#limits.maxEntries)
      throw tooLarge(`the bundle has more than ${this.#limits.maxEntries} files`);
    this.#known.set(key, { path, directory });
  }
}

const clash = (path: string, known: Known, how: "twice" | "both"): Error => {
  if (path !== known.path) return unsafeEntry(path, `differs from ${quoted(known.path)} in capitals only`);
  return unsafeEntry(
    path,
    how === "twice" && !known.directory ? "is there twice" : "is both a file and a directory",
  );
};
