import { badArchive, sizeText, tooLarge, unsafeEntry } from "./packed-fault.ts";
import type { PackedLimits } from "./packed-limits.ts";
import { parsePax } from "./pax.ts";
import { BLOCK_BYTES, paddingOf } from "./tar-format.ts";
import { decodeName, parseHeader, type TarHeader } from "./tar-header.ts";

/** Receives what a TarReader reads. A name is as the archive has it: nobody has looked at it yet. */
export interface TarVisitor {
  directory(name: string): void;
  /** All of its `size` bytes come by `data` before anything else does, then `endFile`. */
  beginFile(name: string, executable: boolean, size: number): void;
  data(bytes: Uint8Array): void;
  endFile(): void;
}

/** A name of any sensible length, times and attributes fit well; more is no description of a file. */
const MAX_EXTENSION_BYTES = 64 * 1024;

/** What cannot be in a bundle, by the type that a header gives. */
const REFUSED: Readonly<Record<string, string>> = {
  "1": "is a hard link; pack the file itself",
  "2": "is a symbolic link; pack what it leads to (tar --dereference)",
  "3": "is a character device",
  "4": "is a block device",
  "6": "is a FIFO",
  "7": "is a contiguous file, which only old systems have",
  S: "is a sparse file; pack it without --sparse",
  M: "is a file's part from another volume of a divided archive",
  V: "is the name of a volume",
  D: "is an incremental backup's directory",
};

/** What is to come next, and how much of it. */
type State =
  | { readonly at: "header" }
  | { readonly at: "extension"; readonly type: string; readonly name: string }
  | { readonly at: "content" }
  | { readonly at: "padding" }
  | { readonly at: "end" };

/** What extensions say of the entry that follows them. */
interface Extension {
  path?: string;
  size?: number;
}

/**
 * Reads a tar archive of regular files and directories, in the formats ustar, pax and GNU, in one pass and as it comes
 * in pieces of any size. It reads what those three say plainly and refuses what programs read in different ways: the
 * archive ends with its two blocks of zeros, and nothing comes behind them but more zeros. Fails with
 * OL_BUNDLE_BAD_ARCHIVE, _UNSAFE_FILE or _TOO_LARGE, and as its visitor does.
 */
export class TarReader {
  readonly #visitor: TarVisitor;
  readonly #limits: PackedLimits;
  #state: State = { at: "header" };
  /** Of the present state: bytes still to come, where their number is known. */
  #missing = BLOCK_BYTES;
  /** Of the file or extension that comes, without what fills up its last block. */
  #size = 0;
  /** A header, or an extension's text, as far as it is there. */
  #held = Buffer.alloc(BLOCK_BYTES);
  #pax: Extension | undefined;
  #longName: string | undefined;
  #longLink = false;
  #globals = 0;
  #bytes = 0;
  #zeroBlocks = 0;

  constructor(visitor: TarVisitor, limits: PackedLimits) {
    this.#visitor = visitor;
    this.#limits = limits;
  }

  /** Bytes of all files. */
  get bytes(): number {
    return this.#bytes;
  }

  write(chunk: Uint8Array): void {
    for (let rest = chunk; rest.length > 0;) {
      const taken = rest.subarray(0, Math.min(rest.length, this.#missing));
      this.#take(taken);
      rest = rest.subarray(taken.length);
    }
  }

  /** No more comes. */
  end(): void {
    if (this.#state.at !== "end" || this.#missing !== BLOCK_BYTES || this.#zeroBlocks < 2)
      throw badArchive("ends too early: the archive in it is not whole; pack or upload it again");
  }

  #take(bytes: Uint8Array): void {
    const { at } = this.#state;
    if (at === "content") this.#visitor.data(bytes);
    else if (at !== "padding") this.#held.set(bytes, this.#held.length - this.#missing);
    this.#missing -= bytes.length;
    if (this.#missing === 0) this.#complete();
  }

  #complete(): void {
    const state = this.#state;
    if (state.at === "header") this.#header();
    else if (state.at === "extension") this.#extension(state.type, state.name);
    else if (state.at === "content") this.#contentEnd();
    else if (state.at === "padding") this.#await({ at: "header" }, BLOCK_BYTES);
    else this.#tail();
  }

  #await(state: State, bytes: number): void {
    this.#state = state;
    this.#missing = bytes;
    if (state.at === "header" || state.at === "end") this.#held = Buffer.alloc(BLOCK_BYTES);
    else if (state.at === "extension") this.#held = Buffer.alloc(bytes);
    if (bytes === 0) this.#complete();
  }

  #header(): void {
    if (this.#held.every((byte) => byte === 0)) {
      this.#assertNoExtension();
      this.#zeroBlocks = 1;
      this.#await({ at: "end" }, BLOCK_BYTES);
      return;
    }
    const header = parseHeader(this.#held);
    if (["x", "g", "L", "K"].includes(header.type)) this.#beginExtension(header);
    else this.#entry(header);
  }

  #tail(): void {
    if (this.#held.some((byte) => byte !== 0))
      throw badArchive("goes on behind the end of the archive in it; only one archive is taken");
    this.#zeroBlocks += 1;
    this.#await({ at: "end" }, BLOCK_BYTES);
  }

  #assertNoExtension(): void {
    if (this.#pax !== undefined || this.#longName !== undefined || this.#longLink)
      throw badArchive("describes a file that does not come");
  }

  #beginExtension({ type, size, name }: TarHeader): void {
    if (size > MAX_EXTENSION_BYTES)
      throw tooLarge(
        `the description of a file in the bundle is longer than ${sizeText(MAX_EXTENSION_BYTES)}`,
      );
    const named = this.#pax !== undefined || this.#longName !== undefined;
    if (type === "K" ? this.#longLink : type !== "g" && named) throw badArchive("describes one file twice");
    if (type === "g") {
      this.#globals += 1;
      if (this.#globals > this.#limits.maxEntries)
        throw tooLarge(`the bundle has more than ${this.#limits.maxEntries} headers for all files`);
    }
    this.#size = size;
    this.#await({ at: "extension", type, name }, size + paddingOf(size));
  }

  #extension(type: string, name: string): void {
    const text = this.#held.subarray(0, this.#size);
    if (type === "x") this.#pax = parsePax(text, name);
    else if (type === "g") {
      const { path, size } = parsePax(text, name);
      if (path !== undefined || size !== undefined)
        throw badArchive("gives all its files one name or size, in a global header");
    } else if (type === "L") this.#longName = decodeName(text);
    else this.#longLink = true;
    this.#await({ at: "header" }, BLOCK_BYTES);
  }

  #entry(header: TarHeader): void {
    const name = this.#pax?.path ?? this.#longName ?? header.name;
    const size = this.#pax?.size ?? header.size;
    this.#pax = undefined;
    this.#longName = undefined;
    this.#longLink = false;
    if (header.type === "5") {
      if (size !== 0) throw unsafeEntry(name, "is a directory with content of its own");
      this.#visitor.directory(name);
      this.#await({ at: "header" }, BLOCK_BYTES);
      return;
    }
    if (header.type !== "0" && header.type !== "\0")
      throw unsafeEntry(
        name,
        REFUSED[header.type] ?? `is of the unknown type ${JSON.stringify(header.type)}`,
      );
    if (name.endsWith("/")) throw unsafeEntry(name, "is a file with the name of a directory");
    this.#assertFits(name, size);
    this.#visitor.beginFile(name, header.executable, size);
    this.#size = size;
    this.#await({ at: "content" }, size);
  }

  #assertFits(name: string, size: number): void {
    const { maxBytes, maxFileBytes } = this.#limits;
    if (size > maxFileBytes)
      throw tooLarge(
        `${JSON.stringify(name.slice(0, 200))} in the bundle is larger than ${sizeText(maxFileBytes)}`,
      );
    this.#bytes += size;
    if (this.#bytes > maxBytes)
      throw tooLarge(`the bundle's files are larger than ${sizeText(maxBytes)} together`);
  }

  #contentEnd(): void {
    this.#visitor.endFile();
    this.#await({ at: "padding" }, paddingOf(this.#size));
  }
}
