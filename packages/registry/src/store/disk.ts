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

// Descriptors and callbacks rather than FileHandles: a small object takes some fifteen calls, and these cost half.
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

/** The system calls of the store; each fails as `diskError` says. */
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
