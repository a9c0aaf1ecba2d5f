import type { BodyDigests, ChecksumAlgorithm, IncomingBody } from "../object-store.ts";
import { s3Error } from "../s3-error.ts";
import { decodeChunks } from "./aws-chunked.ts";
import type { Authenticated } from "./authenticator.ts";
import {
  checksumField,
  contentMd5,
  type GivenChecksum,
  headerChecksum,
  readChecksum,
  trailerAlgorithm,
  trailerNames,
} from "./checksum-fields.ts";
import { sameHex } from "./signature.ts";
import type { RequestFields } from "./request-fields.ts";

export interface BodyOptions {
  readonly maxBytes: number;
  /** False: a checksum in the header is none of the body. */
  readonly checksum?: boolean;
}

/** A request's body without its framing, and everything that the client has promised of it. */
export class RequestBody implements IncomingBody {
  readonly algorithms: readonly ChecksumAlgorithm[];
  /** In bytes, without framing. */
  readonly length: number;
  readonly #md5: string | undefined;
  readonly #sha256: string | undefined;
  readonly #trailers: readonly string[] | undefined;
  readonly #authenticated: Authenticated;
  readonly #raw: () => AsyncIterable<Uint8Array>;
  #checksum: GivenChecksum | undefined;

  /**
   * `raw` are the bytes on the wire. Fails with MissingContentLength, EntityTooLarge, or what is wrong with the promises;
   * nothing is read before that is known.
   */
  constructor(
    fields: RequestFields,
    authenticated: Authenticated,
    raw: () => AsyncIterable<Uint8Array>,
    { maxBytes, checksum = true }: BodyOptions,
  ) {
    const { payload } = authenticated;
    this.#authenticated = authenticated;
    this.#raw = raw;
    this.length = bodyLength(fields, payload.kind === "chunked");
    if (this.length > maxBytes)
      throw s3Error("EntityTooLarge", `The content is larger than ${maxBytes} bytes.`, {
        details: { ProposedSize: String(this.length), MaxSizeAllowed: String(maxBytes) },
      });
    this.#md5 = contentMd5(fields);
    this.#sha256 = payload.kind === "hashed" ? payload.sha256 : undefined;
    this.#checksum = checksum ? headerChecksum(fields) : undefined;
    const names = trailerNames(fields);
    if (payload.kind === "chunked" && payload.trailer) this.#trailers = names;
    else if (names.length > 0)
      throw s3Error(
        "InvalidRequest",
        "x-amz-trailer names fields, but x-amz-content-sha256 says that there are none.",
      );
    const trailing = trailerAlgorithm(names);
    if (trailing !== undefined && this.#checksum !== undefined)
      throw s3Error("InvalidRequest", "Only one checksum can be given.");
    const algorithm = trailing ?? this.#checksum?.algorithm;
    this.algorithms = algorithm === undefined ? [] : [algorithm];
  }

  get bytes(): AsyncIterable<Uint8Array> {
    return this.#authenticated.payload.kind === "chunked" ? this.#decoded() : this.#raw();
  }

  verify(digests: BodyDigests): void {
    if (digests.size !== this.length) throw s3Error("IncompleteBody");
    if (this.#sha256 !== undefined && !sameHex(this.#sha256, digests.sha256))
      throw s3Error("XAmzContentSHA256Mismatch");
    if (this.#md5 !== undefined && this.#md5 !== digests.md5) throw s3Error("BadDigest");
    if (this.#checksum === undefined) return;
    const { algorithm, value } = this.#checksum;
    if (digests.checksums.get(algorithm) !== value)
      throw s3Error("XAmzContentChecksumMismatch", `The content has another ${checksumField(algorithm)}.`);
  }

  async *#decoded(): AsyncGenerator<Uint8Array, void> {
    const { chunks } = this.#authenticated;
    const trailers = yield* decodeChunks(this.#raw(), {
      length: this.length,
      ...(chunks !== undefined && { signer: chunks }),
      ...(this.#trailers !== undefined && { trailers: this.#trailers }),
    });
    for (const algorithm of this.algorithms) {
      const field = checksumField(algorithm);
      const value = trailers.get(field);
      if (value !== undefined) this.#checksum = readChecksum(field, value);
    }
  }
}

const bodyLength = (fields: RequestFields, chunked: boolean): number => {
  // With aws-chunked pieces Content-Length is that of the framing too, and over TLS some clients leave it away.
  const text = fields.get(chunked ? "x-amz-decoded-content-length" : "content-length");
  if (text === undefined) {
    // Without either field there is no body (RFC 9112, 6.3).
    if (!chunked && fields.get("transfer-encoding") === undefined) return 0;
    throw s3Error("MissingContentLength", chunked ? "x-amz-decoded-content-length is missing." : undefined);
  }
  if (!/^\d{1,15}$/u.test(text))
    throw s3Error("InvalidArgument", "The length of the content must be a number.");
  return Number(text);
};
