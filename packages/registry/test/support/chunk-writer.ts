import { createHash, createHmac } from "node:crypto";

const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();

/** What chunk signatures begin with. */
export interface ChunkSeed {
  readonly secretKey: string;
  /** 20130524T000000Z */
  readonly time: string;
  readonly region: string;
  /** The request's own signature. */
  readonly signature: string;
}

/** Chunks as the text of S3's documentation describes them, written anew for the tests. */
export class ChunkWriter {
  readonly #key: Buffer;
  readonly #head: string;
  #previous: string;

  constructor({ secretKey, time, region, signature }: ChunkSeed) {
    const day = time.slice(0, 8);
    const dayKey = hmac(`AWS4${secretKey}`, day);
    this.#key = hmac(hmac(hmac(dayKey, region), "s3"), "aws4_request");
    this.#head = `${time}\n${day}/${region}/s3/aws4_request`;
    this.#previous = signature;
  }

  /** One chunk with its frame; an empty one is the last, whose frame the trailing header or an empty line ends. */
  chunk(data: Uint8Array): Buffer {
    const text = `AWS4-HMAC-SHA256-PAYLOAD\n${this.#head}\n${this.#previous}\n${sha256("")}\n${sha256(data)}`;
    this.#previous = hmac(this.#key, text).toString("hex");
    const head = `${data.length.toString(16)};chunk-signature=${this.#previous}\r\n`;
    return data.length === 0
      ? Buffer.from(head)
      : Buffer.concat([Buffer.from(head), data, Buffer.from("\r\n")]);
  }

  /** The trailing header with its signature, to the end of the body. */
  trailer(field: string, value: string): Buffer {
    const text = `AWS4-HMAC-SHA256-TRAILER\n${this.#head}\n${this.#previous}\n${sha256(`${field}:${value}\n`)}`;
    const signature = hmac(this.#key, text).toString("hex");
    return Buffer.from(`${field}:${value}\r\nx-amz-trailer-signature:${signature}\r\n\r\n`);
  }
}
