import { createHash } from "node:crypto";
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { constants, crc32, createDeflateRaw, type DeflateRaw } from "node:zlib";

import { writing } from "./fault.ts";

/** No name, no time, and no word on the system that made it, which Node's own gzip would have. */
const HEADER = Buffer.from([0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 0xff]);

/** Compresses into a new file; equal content makes equal files. */
export class GzipWriter implements Disposable {
  readonly #file: number;
  readonly #engine: DeflateRaw = createDeflateRaw({ level: constants.Z_DEFAULT_COMPRESSION });
  readonly #hash = createHash("sha256");
  #failure: unknown;
  #packedBytes = 0;
  #bytes = 0;
  #crc = 0;

  /** Fails with OL_BUNDLE_WRITE_FAILED, also if there is a file of that name. */
  constructor(path: string) {
    this.#file = writing(() => openSync(path, "wx", 0o644));
    this.#engine.on("data", (data: Buffer) => this.#out(data));
    // It has nothing that can fail but memory, and without that there is no process.
    this.#out(HEADER);
  }

  async write(data: Uint8Array): Promise<void> {
    this.#bytes += data.length;
    this.#crc = crc32(data, this.#crc);
    await new Promise<void>((resolve) => {
      this.#engine.write(data, () => resolve());
    });
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Writes what is left, to the disk; settles with the SHA-256 of the file, in hexadecimal, and its size. */
  async finish(): Promise<{ readonly digest: string; readonly packedBytes: number }> {
    await new Promise<void>((resolve) => {
      this.#engine.once("end", resolve).end();
    });
    const trailer = Buffer.alloc(8);
    trailer.writeUInt32LE(this.#crc, 0);
    trailer.writeUInt32LE(this.#bytes % 2 ** 32, 4);
    this.#out(trailer);
    if (this.#failure !== undefined) throw this.#failure;
    writing(() => fsyncSync(this.#file));
    return { digest: this.#hash.digest("hex"), packedBytes: this.#packedBytes };
  }

  [Symbol.dispose](): void {
    this.#engine.destroy();
    closeSync(this.#file);
  }

  /** Called by the engine, which must not see an error thrown. */
  #out(data: Buffer): void {
    if (this.#failure !== undefined) return;
    try {
      writing(() => {
        for (let written = 0; written < data.length;) written += writeSync(this.#file, data, written);
      });
    } catch (error) {
      this.#failure = error;
      return;
    }
    this.#hash.update(data);
    this.#packedBytes += data.length;
  }
}
