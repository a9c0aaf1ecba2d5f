import * as fs from "node:fs";
import { promisify } from "node:util";

import { systemReason } from "@ol/common";

import { type S3Error, s3Error } from "../s3-error.ts";

/** The system's code of an error, `ENOENT` for example, or that of what caused it. */
export const errnoOf = (error: unknown): string | undefined => {
  if (!(error instanceof Error)) return undefined;
  if ("syscall" in error && "code" in error && typeof error.code === "string") return error.code;
  return error.cause === undefined ? undefined : errnoOf(error.cause);
};

/**
 * What a client hears when the disk fails. The system's error is its cause, for the log: it names paths of this machine.
 * InsufficientStorage if there is no space, ServiceUnavailable if nothing can be written at all, SlowDown if too much is open,
 * otherwise InternalError.
 */
export const diskError = (error: unknown): S3Error => {
  const code = errnoOf(error);
  const options = { cause: error };
  if (code === "ENOSPC" || code === "EDQUOT") return s3Error("InsufficientStorage", undefined, options);
  if (code === "EROFS") {
    return s3Error("ServiceUnavailable", "The file system where objects are kept is read-only.", options);
  }
  if (code === "EMFILE" || code === "ENFILE") return s3Error("SlowDown", "Too many files are open.", options);
  return s3Error("InternalError", `The disk failed: ${systemReason(error)}.`, options);
};

const guarded =
  <Arguments extends readonly unknown[], Result>(act: (...given: Arguments) => Promise<Result>) =>
  async (...given: Arguments): Promise<Result> => {
    try {
      return await act(...given);
    } catch (error) {
      throw diskError(error);
    }
  };

const write = promisify(fs.write) as (
  fd: number,
  data: Uint8Array,
  offset: number,
  length: number,
  position: number,
) => Promise<{ bytesWritten: number }>;

const writeAll = async (fd: number, data: Uint8Array, position: number): Promise<void> => {
  for (let done = 0; done < data.length;) {
    done += (await write(fd, data, done, data.length - done, position + done)).bytesWritten;
  }
};

/**
 * Up to so many bytes are read and written at once, without a thread: the kernel only copies them, and waking a thread for it takes
 * ten times as long. What waits for the disk to have something is done by threads, always.
 */
export const AT_ONCE_BYTES: number = 64 * 1024;

/** Creates the file, which must not be there, and writes `data`, at once. Fails as `diskError` says; returns the descriptor. */
export const createAtOnce = (path: string, mode: number, data: Uint8Array): number => {
  let fd: number | undefined;
  try {
    fd = fs.openSync(path, "wx", mode);
    for (let done = 0; done < data.length;) done += fs.writeSync(fd, data, done, data.length - done, done);
    return fd;
  } catch (error) {
    if (fd !== undefined) giveUp(path, fd);
    throw diskError(error);
  }
};

/** What the disk refuses to do here, the next start does. */
const giveUp = (path: string, fd: number): void => {
  for (const act of [() => fs.closeSync(fd), () => fs.unlinkSync(path)])
    try {
      act();
    } catch {
      // Whoever made the file has a better error to tell.
    }
};

/** The first `size` bytes of the file, or fewer if it is shorter, at once. Fails as `diskError` says. */
export const readAtOnce = (path: string, size: number): Buffer => {
  let fd: number | undefined;
  try {
    fd = fs.openSync(path, "r");
    const buffer = Buffer.allocUnsafe(size);
    let done = 0;
    for (let more = -1; more !== 0 && done < size; done += more)
      more = fs.readSync(fd, buffer, done, size - done, done);
    return buffer.subarray(0, done);
  } catch (error) {
    throw diskError(error);
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
};

/** The system calls of the store that threads do; each fails as `diskError` says. */
export const disk: {
  readonly open: (path: string, flags: string | number, mode?: number) => Promise<number>;
  readonly close: (fd: number) => Promise<void>;
  /** Writes all of `data`, in as many calls as it takes. */
  readonly write: (fd: number, data: Uint8Array, position: number) => Promise<void>;
  readonly fdatasync: (fd: number) => Promise<void>;
  readonly fsync: (fd: number) => Promise<void>;
  readonly rename: (from: string, to: string) => Promise<void>;
  readonly unlink: (path: string) => Promise<void>;
} = {
  open: guarded(
    promisify(fs.open) as (path: string, flags: string | number, mode?: number) => Promise<number>,
  ),
  close: guarded(promisify(fs.close)),
  write: guarded(writeAll),
  fdatasync: guarded(promisify(fs.fdatasync)),
  fsync: guarded(promisify(fs.fsync)),
  rename: guarded(promisify(fs.rename)),
  unlink: guarded(promisify(fs.unlink)),
};

/** Removes a file if it is there. */
export const removeFile = async (path: string): Promise<void> => {
  try {
    await disk.unlink(path);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
};
