import {
  chmodSync,
  createReadStream,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";

import { isOlError } from "@ol/common";

import { unpackBundle } from "../../src/index.ts";
import { temporaryDirectory } from "./temporary.ts";

/** Code to be packed, and where bundles of it and what is unpacked go; all of it is gone after the test. */
export class Place {
  readonly base: string;
  /** The directory that is packed. */
  code: string;
  /** A bundle that is not there yet. */
  readonly packed: string;
  /** A directory that is not there yet. */
  target: string;

  constructor() {
    this.base = temporaryDirectory();
    this.code = join(this.base, "code");
    // Each in a directory of its own, so that what is left beside it is seen.
    for (const name of ["code", "packed", "unpacked"]) mkdirSync(join(this.base, name));
    this.packed = join(this.base, "packed", "code.tar.gz");
    this.target = join(this.base, "unpacked", "code");
  }

  /** Writes a file of the code, and the directories above it. */
  write(path: string, content: string | Buffer, mode = 0o644): void {
    mkdirSync(join(this.code, path, ".."), { recursive: true });
    writeFileSync(join(this.code, path), content);
    chmodSync(join(this.code, path), mode);
  }
}

/** A bundle as a stream of one piece. */
export const from = (data: Buffer): AsyncIterable<Buffer> => Readable.from([data]);

/** Unpacks a bundle that is a file. */
export const unpackFile = (file: string, to: string): Promise<unknown> =>
  unpackBundle(createReadStream(file), to);

/** Every path below a directory: "d MODE", or "MODE CONTENT". */
export const treeOf = (directory: string): Record<string, string> => {
  const tree: Record<string, string> = {};
  for (const name of readdirSync(directory, { recursive: true, encoding: "utf8" })) {
    const path = join(directory, name);
    const stats = lstatSync(path);
    const mode = (stats.mode & 0o7777).toString(8);
    tree[name] = stats.isDirectory() ? `d ${mode}` : `${mode} ${readFileSync(path).toString("latin1")}`;
  }
  return tree;
};

/** The code of the error that something fails with, or "no error". */
export const codeOf = async (attempt: Promise<unknown>): Promise<string> => {
  try {
    await attempt;
  } catch (error) {
    return isOlError(error) ? error.code : `no OlError: ${String(error)}`;
  }
  return "no error";
};
