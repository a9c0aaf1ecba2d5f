import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";

import { adminError, errnoOf } from "../errors.ts";
import { escapeControls } from "../text.ts";

const CHUNK_BYTES = 64 * 1024;
/** A line without an end is shown in pieces of this length. */
const LONGEST_LINE_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;
// The lambda owns the directory: a link could lead anywhere, a FIFO could block us.
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Reads the lines of one file that grows. The file is a stranger's. */
export class Tail {
  readonly #fd: number;
  #offset = 0;
  #rest: Buffer = Buffer.alloc(0);

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Opens the file; undefined if it is not there, or is no regular file. */
  static open(path: string): Tail | undefined {
    let fd: number;
    try {
      fd = openSync(path, FLAGS);
    } catch (error) {
      // ELOOP: a link in place of the file. ENXIO: a socket.
      if (["ENOENT", "ENOTDIR", "ELOOP", "ENXIO"].includes(errnoOf(error) ?? "")) return undefined;
      const why =
        errnoOf(error) === "EACCES"
          ? "permission denied; run ol-admin as the user who started the worker"
          : errnoOf(error);
      throw adminError("OL_ADMIN_FILE", `cannot read ${path}: ${why ?? "unknown reason"}`, { cause: error });
    }
    if (fstatSync(fd).isFile()) return new Tail(fd);
    closeSync(fd);
    return undefined;
  }

  /** Whether the file has no name any more: nothing will be added once its writers are gone. */
  get deleted(): boolean {
    return fstatSync(this.#fd).nlink === 0;
  }

  /** Every line that was completed since the last call, control characters escaped. */
  *lines(): Generator<string> {
    // A file that was cut off at its limit begins to be read where it ends now.
    this.#offset = Math.min(this.#offset, fstatSync(this.#fd).size);
    const buffer = Buffer.alloc(CHUNK_BYTES);
    for (;;) {
      const count = readSync(this.#fd, buffer, 0, buffer.length, this.#offset);
      if (count === 0) return;
      this.#offset += count;
      yield* this.#split(Buffer.concat([this.#rest, buffer.subarray(0, count)]));
    }
  }

  *#split(data: Buffer): Generator<string> {
    let start = 0;
    for (let end = data.indexOf(NEWLINE); end >= 0; end = data.indexOf(NEWLINE, start)) {
      yield escapeControls(data.toString("utf8", start, end));
      start = end + 1;
    }
    this.#rest = data.subarray(start);
    if (this.#rest.length < LONGEST_LINE_BYTES) return;
    yield escapeControls(this.#rest.toString("utf8"));
    this.#rest = Buffer.alloc(0);
  }

  /** What stands behind the last line's end, if anything. */
  remainder(): string | undefined {
    return this.#rest.length === 0 ? undefined : escapeControls(this.#rest.toString("utf8"));
  }

  close(): void {
    closeSync(this.#fd);
  }
}
