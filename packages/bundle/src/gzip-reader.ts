import { crc32, createInflateRaw, type InflateRaw } from "node:zlib";

import { badArchive, sizeText, tooLarge } from "./packed-fault.ts";
import { type PackedLimits, RATIO_FREE_BYTES } from "./packed-limits.ts";

const MAGIC = [0x1f, 0x8b, 0x08];
const FIXED_HEADER_BYTES = 10;
const TRAILER_BYTES = 8;
/** A name and a comment: nobody writes longer ones. */
const MAX_HEADER_BYTES = 66 * 1024;
const FLAGS = { headerCrc: 0x02, extra: 0x04, name: 0x08, comment: 0x10, reserved: 0xe0 } as const;
const CHUNK_BYTES = 64 * 1024;
/** A header and an end of a block for each file, and how an archive is filled up at its end. */
const OVERHEAD_BYTES = 2048;
const ARCHIVE_END_BYTES = 1024 * 1024;

/** Where the compressed data begins; undefined if the header is not whole yet. */
const headerLength = (data: Buffer): number | undefined => {
  if (MAGIC.some((byte, at) => at < data.length && data[at] !== byte))
    throw badArchive("is not compressed by gzip; make it with tar -czf");
  if (data.length < FIXED_HEADER_BYTES) return undefined;
  const flags = data[3] as number;
  if ((flags & FLAGS.reserved) !== 0) throw badArchive("has a gzip header with unknown flags");
  let at = FIXED_HEADER_BYTES;
  if ((flags & FLAGS.extra) !== 0) {
    if (data.length < at + 2) return undefined;
    at += 2 + data.readUInt16LE(at);
  }
  for (const flag of [FLAGS.name, FLAGS.comment]) {
    if ((flags & flag) === 0) continue;
    const end = data.indexOf(0, at);
    if (end < 0) return undefined;
    at = end + 1;
  }
  if ((flags & FLAGS.headerCrc) !== 0) at += 2;
  return at <= data.length ? at : undefined;
};

/** Node's inflate, fed piece by piece; it says where the compressed data ends, unlike its gunzip, which goes on. */
class Inflater implements Disposable {
  readonly #engine: InflateRaw = createInflateRaw({ chunkSize: CHUNK_BYTES });
  #out: Buffer[] = [];
  #fed = 0;
  /** An engine that fails does not call back. */
  readonly #failed: Promise<never>;

  constructor() {
    this.#engine.on("data", (data: Buffer) => this.#out.push(data));
    this.#failed = new Promise<never>((_resolve, reject) => {
      this.#engine.once("error", (error) => {
        reject(badArchive("is damaged: it cannot be decompressed; pack or upload it again", error));
      });
    });
    this.#failed.catch(() => undefined);
  }

  /** What comes out of `piece`, and, once the compressed data has ended, what of it came behind. */
  async feed(piece: Buffer): Promise<{ readonly out: readonly Buffer[]; readonly rest: Buffer | undefined }> {
    const written = new Promise<void>((resolve) => {
      this.#engine.write(piece, () => resolve());
    });
    await Promise.race([written, this.#failed]);
    this.#fed += piece.length;
    const out = this.#out;
    this.#out = [];
    const unused = this.#fed - this.#engine.bytesWritten;
    return { out, rest: unused === 0 ? undefined : piece.subarray(piece.length - unused) };
  }

  [Symbol.dispose](): void {
    this.#engine.destroy();
  }
}

/**
 * Decompresses one gzip member piece by piece, and insists that it is whole, sound, and all there is: gunzip goes on
 * with a second one, and passes over what follows if it does not look like one. Fails with OL_BUNDLE_BAD_ARCHIVE and
 * OL_BUNDLE_TOO_LARGE.
 */
export class GzipReader implements Disposable {
  readonly #limits: PackedLimits;
  readonly #inflater = new Inflater();
  #at: "header" | "data" | "trailer" = "header";
  #held = Buffer.alloc(0);
  #packedBytes = 0;
  #bytes = 0;
  #crc = 0;

  constructor(limits: PackedLimits) {
    this.#limits = limits;
  }

  get packedBytes(): number {
    return this.#packedBytes;
  }

  /** Yields what comes out of `packed`, at most 1,030 times as much; the limits are looked at behind each of these. */
  async *read(packed: Uint8Array): AsyncGenerator<Buffer> {
    this.#packedBytes += packed.length;
    if (this.#packedBytes > this.#limits.maxPackedBytes)
      throw tooLarge(`the bundle is larger than ${sizeText(this.#limits.maxPackedBytes)}`);
    let data = Buffer.from(packed.buffer, packed.byteOffset, packed.length);
    if (this.#at === "header") data = this.#header(data);
    if (this.#at === "data") data = yield* this.#data(data);
    if (this.#at === "trailer")
      this.#hold(data, TRAILER_BYTES, "has something behind its end; only one archive is taken");
  }

  /** No more comes. */
  end(): void {
    if (this.#packedBytes === 0) throw badArchive("is empty");
    if (this.#at !== "trailer" || this.#held.length < TRAILER_BYTES)
      throw badArchive("ends too early; pack or upload it again");
    if (this.#held.readUInt32LE(0) !== this.#crc || this.#held.readUInt32LE(4) !== this.#bytes % 2 ** 32)
      throw badArchive("is damaged: its checksum is wrong; pack or upload it again");
  }

  [Symbol.dispose](): void {
    this.#inflater[Symbol.dispose]();
  }

  #hold(data: Buffer, most: number, tooMuch: string): void {
    if (this.#held.length + data.length > most) throw badArchive(tooMuch);
    this.#held = Buffer.concat([this.#held, data]);
  }

  /** Returns what comes behind the header. */
  #header(data: Buffer): Buffer {
    const held = Buffer.concat([this.#held, data]);
    const length = headerLength(held);
    if (length === undefined) {
      if (held.length > MAX_HEADER_BYTES) throw badArchive("has a gzip header without an end");
      this.#held = held;
      return Buffer.alloc(0);
    }
    this.#held = Buffer.alloc(0);
    this.#at = "data";
    return held.subarray(length);
  }

  /** Returns what comes behind the compressed data. */
  async *#data(data: Buffer): AsyncGenerator<Buffer, Buffer> {
    if (data.length === 0) return data;
    const { out, rest } = await this.#inflater.feed(data);
    for (const piece of out) {
      this.#count(piece);
      yield piece;
    }
    if (rest === undefined) return Buffer.alloc(0);
    this.#at = "trailer";
    return rest;
  }

  #count(piece: Buffer): void {
    const { maxBytes, maxEntries, maxRatio } = this.#limits;
    this.#bytes += piece.length;
    this.#crc = crc32(piece, this.#crc);
    if (this.#bytes > RATIO_FREE_BYTES && this.#bytes > this.#packedBytes * maxRatio)
      throw tooLarge(`the bundle becomes more than ${maxRatio} times larger when it is unpacked`);
    if (this.#bytes > maxBytes + maxEntries * OVERHEAD_BYTES + ARCHIVE_END_BYTES)
      throw tooLarge(`the bundle is larger than ${sizeText(maxBytes)} when it is unpacked`);
  }
}
