import { isUtf8 } from "node:buffer";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";

import { type BundleErrorCode, bundleError } from "./errors.ts";
import { errnoOf, readFault } from "./fault.ts";

const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * The text of a small file at the top of a lambda's code; undefined if there is none. What is no regular file, or not
 * UTF-8, fails with `code`, what cannot be read with OL_BUNDLE_UNREADABLE. At most one byte more than `maxBytes` is
 * read, so that whoever takes the text apart can say that it is too large.
 */
export const readSmallFile = (
  directory: string,
  name: string,
  maxBytes: number,
  code: BundleErrorCode,
): string | undefined => {
  const bad = (what: string): Error => bundleError(code, `${name}:1: ${what}`);
  let fd: number;
  try {
    fd = openSync(join(directory, name), FLAGS);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    if (errnoOf(error) === "ELOOP") throw bad("is a symbolic link; copy the file instead");
    throw readFault(error, name);
  }
  try {
    if (!fstatSync(fd).isFile()) throw bad("is not a regular file");
    const data = readUpTo(fd, maxBytes + 1);
    // What was cut off may end in the middle of a character.
    if (data.length <= maxBytes && !isUtf8(data)) throw bad("the file is not UTF-8 text; save it as UTF-8");
    return data.toString("utf8");
  } finally {
    closeSync(fd);
  }
};

const readUpTo = (fd: number, bytes: number): Buffer => {
  const buffer = Buffer.alloc(bytes);
  let length = 0;
  for (let count = -1; count !== 0 && length < bytes; length += count)
    count = readSync(fd, buffer, length, bytes - length, null);
  return buffer.subarray(0, length);
};
