import { type FileHandle, open } from "node:fs/promises";
import type { Readable } from "node:stream";

import type { ObjectInfo } from "../object-store.ts";
import { isS3Error, s3Error } from "../s3-error.ts";

import { diskError } from "./disk.ts";

/** How much is read at once: at 64 KiB, Node's default, 50 MB take a third longer. */
const READ_BYTES = 256 * 1024;

/** Bytes of an object; both are inclusive. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** An object's content as it was when it was opened, also if the object is overwritten or removed meanwhile. */
export class ObjectReader implements AsyncDisposable {
  readonly info: ObjectInfo;
  readonly #file: FileHandle;
  readonly #streams = new Set<Readable>();

  private constructor(info: ObjectInfo, file: FileHandle) {
    this.info = info;
    this.#file = file;
  }

  /** Fails with InternalError if the file is not as long as the object is. */
  static async open(info: ObjectInfo, file: string): Promise<ObjectReader> {
    const handle = await open(file, "r").catch((error: unknown) => Promise.reject(diskError(error)));
    try {
      const { size } = await handle.stat();
      if (size !== info.size) {
        throw s3Error("InternalError", "The object's content is damaged.", {
          cause: new Error(`the content ${info.digest} has ${size} bytes instead of ${info.size}`),
        });
      }
    } catch (error) {
      await handle.close();
      throw isS3Error(error) ? error : diskError(error);
    }
    return new ObjectReader(info, handle);
  }

  /** The content, or that range of it, which has to be within it. Ends with the reader at the latest. */
  stream(range: ByteRange = { start: 0, end: this.info.size - 1 }): Readable {
    const stream = this.#file.createReadStream({
      start: range.start,
      // An empty object has no last byte; nothing is read of it with any.
      end: Math.max(range.end, range.start),
      highWaterMark: READ_BYTES,
      autoClose: false,
    });
    this.#streams.add(stream);
    stream.once("close", () => this.#streams.delete(stream));
    return stream;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stream of this.#streams) stream.destroy();
    await this.#file.close();
  }
}
