import { type FileHandle, open } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";

import { isOlError, systemReason } from "@ol/common";

import { baseFailure } from "./failure.ts";
import { type UnpackOptions, type Unpacked, unpackTree } from "./unpack.ts";

const GZIP_MAGIC = Buffer.from([0x1f, 0x8b]);

/** What else an archive may be packed with, by its first bytes. */
const FOREIGN: readonly (readonly [string, Buffer])[] = [
  ["xz", Buffer.from("fd377a585a00", "hex")],
  ["zstd", Buffer.from("28b52ffd", "hex")],
  ["bzip2", Buffer.from("BZh")],
];

const beginsWith = (start: Buffer, magic: Buffer): boolean => start.subarray(0, magic.length).equals(magic);

const firstBytes = async (file: FileHandle): Promise<Buffer> => {
  const buffer = Buffer.alloc(8);
  const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
  return buffer.subarray(0, bytesRead);
};

/** The archive itself; what reads it also hears of what goes wrong with the file, or with its packing. */
const contentOf = async (file: FileHandle, name: string): Promise<Readable> => {
  const start = await firstBytes(file);
  const [program] = FOREIGN.find(([, magic]) => beginsWith(start, magic)) ?? [];
  if (program !== undefined)
    throw baseFailure(`${name} is packed by ${program}; unpack it first: ${program} -d FILE`);
  const source = file.createReadStream({ start: 0, autoClose: false });
  if (!beginsWith(start, GZIP_MAGIC)) return source;
  const unpacked = createGunzip();
  // Both streams end with the error, and whoever reads the second is the one to say so.
  pipeline(source, unpacked).catch(() => undefined);
  return unpacked;
};

/**
 * Unpacks a .tar or .tar.gz, which may be hostile, into `directory`, which is there, empty and ours alone; what comes out is
 * what `unpackTree` says. Fails with OL_ADMIN_BASE; what is there then is for the caller to remove.
 */
export const unpackArchive = async (
  path: string,
  directory: string,
  options: UnpackOptions,
): Promise<Unpacked> => {
  try {
    await using file = await open(path);
    return await unpackTree(await contentOf(file, options.name), directory, options);
  } catch (error) {
    if (isOlError(error)) throw error;
    throw baseFailure(`${options.name} cannot be read: ${systemReason(error)}`, error);
  }
};
