import { type FileHandle, open } from "node:fs/promises";
import { Readable } from "node:stream";

import type { ObjectInfo } from "../object-store.ts";
import { isS3Error, s3Error } from "../s3-error.ts";

import { AT_ONCE_BYTES, diskError, readAtOnce } from "./disk.ts";

/** How much is read at once: takes half of the CPU time that Node's 64 KiB take. A slow client holds one or two of these. */
const READ_BYTES = 256 * 1024;

/** Bytes of an object; both are inclusive. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** An object's content as it was when it was opened, also if the object is overwritten or removed meanwhile. */
export class ObjectReader implements AsyncDisposable {
  readonly info: ObjectInfo;
  /** All of the content, if it is small. */
  readonly whole: Buffer | undefined;
  readonly #file: FileHandle | undefined;
  readonly #streams = new Set<Readable>();

  private constructor(info: ObjectInfo, content: FileHandle | Buffer) {
    this.info = info;
    this.whole = Buffer.isBuffer(content) ? content : undefined;
    this.#file = Buffer.isBuffer(content) ? undefined : content;
  }

  /** Fails with InternalError if the file is not as long as the object is. */
  static async open(info: ObjectInfo, file: string): Promise<ObjectReader> {
    const whole = info.size <= AT_ONCE_BYTES ? wholeOf(file, info.size) : undefined;
    if (whole !== undefined) return new ObjectReader(info, whole);
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
    if (this.#file === undefined)
      return Readable.from([this.whole?.subarray(range.start, range.end + 1)], { objectMode: false });
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
    await this.#file?.close();
  }
}

/** The file's content; undefined if it is not that long, which whoever looks closer tells. */
const wholeOf = (file: string, size: number): Buffer | undefined => {
  // One byte more than there should be.
  const found = readAtOnce(file, size + 1);
  return found.length === size ? found : undefined;
};
