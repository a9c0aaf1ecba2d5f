/** Checksums that S3 clients may ask to be checked and kept besides MD5. */
export type ChecksumAlgorithm = "crc32" | "crc32c" | "crc64nvme" | "sha1" | "sha256";

/** A checksum of an object as S3 gives it. */
export interface Checksum {
  readonly algorithm: ChecksumAlgorithm;
  /** In base64; of a multipart object perhaps followed by `-` and the number of parts. */
  readonly value: string;
  readonly type: "FULL_OBJECT" | "COMPOSITE";
}

/** What is known of one stored object. */
export interface ObjectInfo {
  readonly key: string;
  /** In bytes. */
  readonly size: number;
  /** Without quotes: the content's MD5 in hexadecimal, or that of the parts' MD5s with `-` and their number. */
  readonly etag: string;
  /** SHA-256 of the content in hexadecimal: what the content is kept under. */
  readonly digest: string;
  readonly modifiedMs: number;
  /** The header fields that a GET gives back, lower-case: content-type, cache-control ..., x-amz-meta-*. */
  readonly headers: Readonly<Record<string, string>>;
  readonly checksum?: Checksum;
}

/** What was found of a body when it had been read in full. */
export interface BodyDigests {
  readonly size: number;
  /** In hexadecimal. */
  readonly md5: string;
  /** In hexadecimal. */
  readonly sha256: string;
  /** In base64, for each algorithm that was asked for. */
  readonly checksums: ReadonlyMap<ChecksumAlgorithm, string>;
}

/** A body on its way into the store. */
export interface IncomingBody {
  /** The bytes themselves: chunk framing is taken off, and its signatures are checked, before they come here. It throws if one is wrong. */
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Which checksums to compute besides MD5 and SHA-256. */
  readonly algorithms: readonly ChecksumAlgorithm[];
  /** Is called once `bytes` has ended and before anything becomes visible; throws what the client is to hear if something promised does not hold. */
  verify(digests: BodyDigests): void;
}

/** When a write or read may go on; etags are without quotes, `*` is any object. */
export interface Preconditions {
  readonly ifMatch?: readonly string[];
  readonly ifNoneMatch?: readonly string[];
}

export interface PutRequest extends Preconditions {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: IncomingBody;
  /** Which of the computed checksums is kept with the object. */
  readonly keep?: ChecksumAlgorithm;
}

/** One page of a listing. */
export interface ListRequest {
  readonly prefix: string;
  /** Empty: none. */
  readonly delimiter: string;
  /** Keys and common prefixes after this one only, in the order of their UTF-8 bytes. */
  readonly after: string;
  readonly limit: number;
}

export interface ListPage {
  readonly objects: readonly ObjectInfo[];
  readonly commonPrefixes: readonly string[];
  /** Where the next page begins (`after` of its request); absent on the last. */
  readonly next?: string;
}
