import { Transform, type TransformCallback } from "node:stream";

// Two blocks of zeros end an archive; one without them broke off between two entries.
const END_BYTES = 1024;

/** Passes an archive on, counts its bytes, and sees whether what came last is an archive's end. */
export class ArchiveEnd extends Transform {
  /** How many have passed. */
  bytes = 0;
  #zeros = 0;
  readonly #passed: (bytes: number) => void;

  /** `passed` hears how many bytes there were so far. */
  constructor(passed: (bytes: number) => void = () => undefined) {
    super();
    this.#passed = passed;
  }

  /** Asked when all has passed. */
  get isWhole(): boolean {
    return this.#zeros >= END_BYTES;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.bytes += chunk.length;
    let zeros = 0;
    while (zeros < chunk.length && zeros < END_BYTES && chunk[chunk.length - 1 - zeros] === 0) zeros += 1;
    this.#zeros = zeros === chunk.length ? this.#zeros + zeros : zeros;
    this.#passed(this.bytes);
    done(null, chunk);
  }
}
