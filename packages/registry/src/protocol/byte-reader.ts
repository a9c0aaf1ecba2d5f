import { s3Error } from "../s3-error.ts";

const LF = 10;

/** Reads lines and counted bytes from pieces of any length. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #piece: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** From 1 to `most` bytes, as many as are there; undefined at the end. */
  async some(most: number): Promise<Buffer | undefined> {
    if (!(await this.#fill())) return undefined;
    const bytes = this.#piece.subarray(0, most);
    this.#piece = this.#piece.subarray(bytes.length);
    return bytes;
  }

  /** What is before the next CRLF, as Latin-1. Fails with IncompleteBody, and with InvalidRequest beyond `most` bytes. */
  async line(most: number): Promise<string> {
    const parts: Buffer[] = [];
    let length = 0;
    for (;;) {
      if (!(await this.#fill())) throw s3Error("IncompleteBody");
      const at = this.#piece.indexOf(LF);
      const part = this.#piece.subarray(0, at < 0 ? this.#piece.length : at + 1);
      this.#piece = this.#piece.subarray(part.length);
      parts.push(part);
      length += part.length;
      if (length > most + 2)
        throw s3Error("InvalidRequest", "A line between the chunks of the content is too long.");
      const line = at < 0 ? "" : Buffer.concat(parts).toString("latin1");
      if (line.endsWith("\r\n")) return line.slice(0, -2);
    }
  }

  /** Ends the source, read to its end or not. */
  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async #fill(): Promise<boolean> {
    while (this.#piece.length === 0) {
      const { done, value } = await this.#source.next();
      if (done === true) return false;
      this.#piece = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    }
    return true;
  }
}
