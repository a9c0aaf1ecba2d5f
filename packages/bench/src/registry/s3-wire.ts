import { createHash, createHmac, randomBytes } from "node:crypto";
import { Agent, request } from "node:http";

import { benchError } from "../errors.ts";

/** A pair of keys that may do everything. */
export const KEYS = { accessKey: "bench-key", secretKey: "bench-secret-key" } as const;
const REGION = "us-east-1";
const SCOPE = `${REGION}/s3/aws4_request`;
const SIGNED = "host;x-amz-content-sha256;x-amz-date";
const REPLY_MS = 120_000;

/** What is put; `sha256` in hex, computed before anything is measured. */
export interface Content {
  readonly bytes: Buffer;
  readonly sha256: string;
}

const sha256 = (bytes: Buffer | string): string => createHash("sha256").update(bytes).digest("hex");

/** A content that no store has yet: the beginning of `bytes` is written anew. */
export const renewed = (bytes: Buffer): Content => {
  randomBytes(16).copy(bytes);
  return { bytes, sha256: sha256(bytes) };
};

/** As little of an S3 client as there can be, the same for every store: requests signed over their bodies, kept connections. */
export class S3Wire {
  readonly #port: number;
  readonly #agent: Agent = new Agent({ keepAlive: true });

  constructor(port: number) {
    this.#port = port;
  }

  async createBucket(bucket: string): Promise<void> {
    await this.#exchange("PUT", `/${bucket}`, { bytes: Buffer.alloc(0), sha256: sha256("") });
  }

  /** Settles when it is acknowledged. */
  async put(path: string, content: Content): Promise<void> {
    await this.#exchange("PUT", path, content);
  }

  /** Settles with the number of bytes when the last of them is there. */
  get(path: string): Promise<number> {
    return this.#exchange("GET", path, { bytes: Buffer.alloc(0), sha256: sha256("") });
  }

  close(): void {
    this.#agent.destroy();
  }

  #exchange(method: string, path: string, content: Content): Promise<number> {
    return new Promise((resolve, reject) => {
      const headers = signed(method, path, `127.0.0.1:${this.#port}`, content);
      const options = { host: "127.0.0.1", port: this.#port, method, path, headers, agent: this.#agent };
      const outgoing = request({ ...options, timeout: REPLY_MS }, (reply) => {
        let bytes = 0;
        reply.on("data", (piece: Buffer) => (bytes += piece.length));
        reply.once("error", reject);
        reply.once("end", () => {
          if (reply.statusCode === 200) resolve(bytes);
          else reject(benchError("OL_BENCH_WRONG_REPLY", `${method} ${path}: ${reply.statusCode}`));
        });
      });
      outgoing.once("timeout", () => outgoing.destroy(new Error(`no reply within ${REPLY_MS} ms`)));
      outgoing.once("error", reject);
      outgoing.end(content.bytes);
    });
  }
}

const hmac = (key: Buffer | string, text: string): Buffer => createHmac("sha256", key).update(text).digest();

/** The header fields of a request without a query, signed by AWS signature version 4. */
const signed = (
  method: string,
  path: string,
  host: string,
  { bytes, sha256: hash }: Content,
): Record<string, string | number> => {
  const date = new Date().toISOString().replaceAll(/[-:]|\.\d+/gu, "");
  const day = date.slice(0, 8);
  const fields = `host:${host}\nx-amz-content-sha256:${hash}\nx-amz-date:${date}\n`;
  const canonical = sha256(`${method}\n${path}\n\n${fields}\n${SIGNED}\n${hash}`);
  const key = [REGION, "s3", "aws4_request"].reduce(hmac, hmac(`AWS4${KEYS.secretKey}`, day));
  const signature = hmac(key, `AWS4-HMAC-SHA256\n${date}\n${day}/${SCOPE}\n${canonical}`).toString("hex");
  return {
    host,
    "x-amz-content-sha256": hash,
    "x-amz-date": date,
    authorization: `AWS4-HMAC-SHA256 Credential=${KEYS.accessKey}/${day}/${SCOPE}, SignedHeaders=${SIGNED}, Signature=${signature}`,
    "content-length": bytes.length,
  };
};
