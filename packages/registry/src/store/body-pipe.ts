import { BLOCK_BYTES, type BlockPool } from "./block-pool.ts";
import type { Computed } from "./checksums.ts";
import type { HashJob, HashThreads } from "./hash-threads.ts";
import type { TemporaryFile } from "./temporary-file.ts";

/** So many blocks of one body are written and read by the threads at once; then whoever sends has to wait. */
const MOST_UNDER_WAY = 4;

/**
 * After so many bytes the disk is made to begin with them, beside all else. Otherwise the whole body would wait in memory for the
 * sync at its end.
 */
const FLUSH_BYTES = 8 * 1024 * 1024;

/**
 * A large body on its way into a file, while other threads compute its checksums: MD5 in one, the rest in another. Holds four blocks
 * of memory at most, however large the body is.
 */
export class BodyPipe implements AsyncDisposable {
  readonly #file: TemporaryFile;
  readonly #blocks: BlockPool;
  readonly #jobs: readonly HashJob[];
  readonly #underWay: Promise<void>[] = [];
  #block: SharedArrayBuffer | undefined;
  /** Of the block. */
  #filled = 0;
  #position = 0;
  #flush: Promise<void> | undefined;
  #unflushed = 0;
  #failure: { readonly error: unknown } | undefined;

  constructor(file: TemporaryFile, kinds: readonly Computed[], threads: HashThreads, blocks: BlockPool) {
    this.#file = file;
    this.#blocks = blocks;
    const groups = [kinds.filter((kind) => kind === "md5"), kinds.filter((kind) => kind !== "md5")];
    this.#jobs = groups.filter((group) => group.length > 0).map((group) => threads.open(group));
  }

  /** Takes a copy; resolves when more may come. */
  async write(chunk: Uint8Array): Promise<void> {
    for (let taken = 0; taken < chunk.length;) {
      this.#block ??= this.#blocks.take();
      const piece = chunk.subarray(taken, taken + BLOCK_BYTES - this.#filled);
      new Uint8Array(this.#block).set(piece, this.#filled);
      this.#filled += piece.length;
      taken += piece.length;
      if (this.#filled === BLOCK_BYTES) await this.#send();
    }
  }

  /** Resolves with the checksums when all is written; not yet synced. */
  async end(): Promise<Map<Computed, string>> {
    await this.#send();
    while (this.#underWay.length > 0) await this.#underWay[0];
    await this.#flush;
    this.#mayGoOn();
    const values = await Promise.all(this.#jobs.map((job) => job.digest()));
    return new Map(values.flat());
  }

  /** Resolves when nothing uses the file or the memory any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#underWay.length > 0) await this.#underWay[0];
    await this.#flush;
    for (const job of this.#jobs) job.close();
    if (this.#block !== undefined) this.#blocks.give(this.#block);
    this.#block = undefined;
  }

  /** Has the block written and computed with. */
  async #send(): Promise<void> {
    const block = this.#block;
    const length = this.#filled;
    if (block === undefined || length === 0) return;
    this.#block = undefined;
    this.#filled = 0;
    const uses = [
      this.#file.write(new Uint8Array(block, 0, length), this.#position),
      ...this.#jobs.map((job) => job.update(block, length)),
    ];
    this.#position += length;
    const sent = this.#sent(uses, block, length).finally(() =>
      this.#underWay.splice(this.#underWay.indexOf(sent), 1),
    );
    this.#underWay.push(sent);
    if (this.#underWay.length >= MOST_UNDER_WAY) await this.#underWay[0];
    this.#mayGoOn();
  }

  /** Never rejects: the failure is told to who comes next. */
  async #sent(uses: readonly Promise<void>[], block: SharedArrayBuffer, length: number): Promise<void> {
    const results = await Promise.allSettled(uses);
    this.#blocks.give(block);
    for (const result of results)
      if (result.status === "rejected") this.#failure ??= { error: result.reason };
    this.#unflushed += length;
    if (this.#unflushed < FLUSH_BYTES || this.#flush !== undefined || this.#failure !== undefined) return;
    this.#unflushed = 0;
    this.#flush = this.#flushed();
  }

  async #flushed(): Promise<void> {
    try {
      await this.#file.flush();
    } catch (error) {
      this.#failure ??= { error };
    } finally {
      this.#flush = undefined;
    }
  }

  #mayGoOn(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
