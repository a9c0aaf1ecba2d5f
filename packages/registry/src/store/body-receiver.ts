import type { BodyDigests, ChecksumAlgorithm } from "../object-store.ts";
import { s3Error } from "../s3-error.ts";

import type { BlockPool } from "./block-pool.ts";
import { BodyPipe } from "./body-pipe.ts";
import { bodyDigests, checksumsOf, computedFor } from "./checksums.ts";
import type { HashThreads } from "./hash-threads.ts";
import { TemporaryFile } from "./temporary-file.ts";
import { untilAborted } from "./until-aborted.ts";

/** Up to this size a body is kept in memory and its checksums are computed at once: that takes less time than telling a thread. */
export const SMALL_BYTES: number = 256 * 1024;

/** A body that has been read to its end; its file is not synced yet. */
export interface ReceivedBody {
  readonly file: TemporaryFile;
  readonly digests: BodyDigests;
}

export interface BodyReceiverOptions {
  /** The directory for what is being written. */
  readonly temporary: string;
  readonly threads: HashThreads;
  readonly blocks: BlockPool;
  /** A longer body is refused (EntityTooLarge). */
  readonly maxBytes: number;
}

/** Reads bodies into temporary files. */
export class BodyReceiver {
  readonly #options: BodyReceiverOptions;

  constructor(options: BodyReceiverOptions) {
    this.#options = options;
  }

  /**
   * Reads the body to its end. The file is then the caller's, who disposes of it. Fails as the body does, with EntityTooLarge,
   * as `diskError` says, or with the signal's reason; there is no file then.
   */
  async receive(
    bytes: AsyncIterable<Uint8Array>,
    algorithms: readonly ChecksumAlgorithm[],
    signal: AbortSignal,
  ): Promise<ReceivedBody> {
    const source = this.#limited(untilAborted(bytes, signal));
    const beginning: Uint8Array[] = [];
    let size = 0;
    for (;;) {
      const step = await source.next();
      if (step.done === true) return await this.#small(beginning, size, algorithms);
      beginning.push(step.value);
      size += step.value.length;
      if (size > SMALL_BYTES) return await this.#large(beginning, source, algorithms);
    }
  }

  async #small(
    pieces: readonly Uint8Array[],
    size: number,
    algorithms: readonly ChecksumAlgorithm[],
  ): Promise<ReceivedBody> {
    const digests = bodyDigests(size, algorithms, checksumsOf(computedFor(algorithms), pieces));
    return await this.#withFile(async (file) => {
      const whole = pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces, size);
      await file.write(whole, 0);
      return digests;
    });
  }

  async #large(
    beginning: readonly Uint8Array[],
    rest: AsyncGenerator<Uint8Array, void>,
    algorithms: readonly ChecksumAlgorithm[],
  ): Promise<ReceivedBody> {
    try {
      return await this.#withFile(async (file) => {
        let size = 0;
        await using pipe = new BodyPipe(
          file,
          computedFor(algorithms),
          this.#options.threads,
          this.#options.blocks,
        );
        const take = async (chunk: Uint8Array): Promise<void> => {
          size += chunk.length;
          await pipe.write(chunk);
        };
        for (const chunk of beginning) await take(chunk);
        for await (const chunk of rest) await take(chunk);
        return bodyDigests(size, algorithms, await pipe.end());
      });
    } finally {
      // After a failure before the loop nobody else would.
      await rest.return();
    }
  }

  /** The file is disposed of if `fill` fails. */
  async #withFile(fill: (file: TemporaryFile) => Promise<BodyDigests>): Promise<ReceivedBody> {
    const file = await TemporaryFile.create(this.#options.temporary);
    try {
      return { file, digests: await fill(file) };
    } catch (error) {
      await file[Symbol.asyncDispose]();
      throw error;
    }
  }

  async *#limited(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
    let size = 0;
    for await (const chunk of source) {
      size += chunk.length;
      if (size > this.#options.maxBytes) throw s3Error("EntityTooLarge");
      if (chunk.length > 0) yield chunk;
    }
  }
}
