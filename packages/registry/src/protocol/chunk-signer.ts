import { ALGORITHM, type Scope, scopeText, sha256Hex, signatureOf } from "./signature.ts";

const EMPTY_HASH = sha256Hex("");

/** The signatures of a body's chunks: each is made over the one before it, the first over the request's. */
export class ChunkSigner {
  readonly #key: Buffer;
  readonly #head: string;
  #previous: string;

  /** `time` is the request's, `seed` its signature. */
  constructor(key: Buffer, time: string, scope: Scope, seed: string) {
    this.#key = key;
    this.#head = `${time}\n${scopeText(scope)}`;
    this.#previous = seed;
  }

  /** The signature that the next chunk must have; `hash` is the SHA-256 of its bytes in hexadecimal. */
  chunk(hash: string): string {
    return this.#next(`${ALGORITHM}-PAYLOAD`, [EMPTY_HASH, hash]);
  }

  /** The same of the trailing header; `lines` is `name:value\n` for each field. */
  trailer(lines: string): string {
    return this.#next(`${ALGORITHM}-TRAILER`, [sha256Hex(lines)]);
  }

  #next(kind: string, hashes: readonly string[]): string {
    const text = [kind, this.#head, this.#previous, ...hashes].join("\n");
    return (this.#previous = signatureOf(this.#key, text));
  }
}
