import { mkdtemp, readdir, rm } from "node:fs/promises";
import { Agent, type IncomingHttpHeaders, request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";

import { type KeyPair, ObjectStore, RegistryServer, type RegistryServerOptions } from "../../src/index.ts";
import { awsSign, HOST, type PlainRequest } from "./aws-signer.ts";

export const ADMIN: KeyPair = { accessKey: "admin-key", secretKey: "admin-secret", role: "admin" };
export const UPLOADER: KeyPair = { accessKey: "upload-key", secretKey: "upload-secret", role: "upload" };
export const READER: KeyPair = { accessKey: "read-key", secretKey: "read-secret", role: "read" };

export interface TestReply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The body as text. */
  readonly text: string;
  /** S3's code in the body; undefined without one. */
  readonly code: string | undefined;
}

export interface TestRequest {
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** Who signs; null is nobody. Default the administrator. */
  readonly as?: KeyPair | null;
  readonly presignedFor?: number;
}

/** A registry in a directory of its own, with a bucket `code`, and a client that AWS's library signs for. */
export class TestRegistry implements AsyncDisposable {
  readonly server: RegistryServer;
  readonly store: ObjectStore;
  readonly directory: string;
  readonly #agent = new Agent({ keepAlive: true });

  static async start(options: Partial<RegistryServerOptions> = {}): Promise<TestRegistry> {
    const directory = await mkdtemp(path.join(tmpdir(), "ol-registry-"));
    const store = await ObjectStore.open({ directory: path.join(directory, "data") });
    await store.createBucket("code");
    const server = await RegistryServer.start({
      store,
      keys: [ADMIN, UPLOADER, READER],
      addresses: ["127.0.0.1"],
      port: 0,
      ...options,
    });
    return new TestRegistry(server, store, directory);
  }

  private constructor(server: RegistryServer, store: ObjectStore, directory: string) {
    this.server = server;
    this.store = store;
    this.directory = directory;
  }

  /** Signed; of a body, by its hash unless the headers say otherwise. */
  async send(method: string, target: string, options: TestRequest = {}): Promise<TestReply> {
    const { query = {}, headers = {}, body, as = ADMIN, presignedFor } = options;
    const plain: PlainRequest = {
      method,
      path: target,
      query,
      headers,
      ...(body !== undefined && { body }),
      ...(presignedFor !== undefined && { presignedFor }),
    };
    const wire =
      as === null
        ? { url: unsignedUrl(target, query), rawHeaders: ["host", HOST, ...Object.entries(headers).flat()] }
        : await awsSign(plain, { ...as, region: "us-east-1", at: new Date() });
    return this.raw(method, wire.url, wire.rawHeaders, body);
  }

  /** Exactly these bytes. */
  raw(
    method: string,
    url: string,
    rawHeaders: readonly string[],
    body?: string | Buffer,
  ): Promise<TestReply> {
    const length = rawHeaders.some(
      (name, at) => at % 2 === 0 && /^(?:content-length|transfer-encoding)$/iu.test(name),
    );
    const headers = [...rawHeaders];
    if (!length && body !== undefined) headers.push("content-length", String(Buffer.byteLength(body)));
    return new Promise((resolve, reject) => {
      const sent = request({
        host: "127.0.0.1",
        port: this.server.port,
        method,
        path: url,
        headers,
        agent: this.#agent,
      });
      sent.once("error", reject);
      sent.once("response", (response) => {
        const pieces: Buffer[] = [];
        response.on("data", (piece: Buffer) => pieces.push(piece));
        response.once("error", reject);
        response.once("end", () => {
          const all = Buffer.concat(pieces);
          const text = all.toString();
          const code = /<Code>(?<code>\w+)<\/Code>/u.exec(text)?.groups?.["code"];
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: all, text, code });
        });
      });
      sent.end(body);
    });
  }

  /** How many files writes have left that did not get to their end. */
  async temporaryFiles(): Promise<number> {
    return (await readdir(path.join(this.directory, "data", "tmp"))).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
    await this.server.close();
    await this.store.close();
    await rm(this.directory, { recursive: true });
  }
}

const unsignedUrl = (target: string, query: Readonly<Record<string, string>>): string => {
  const text = new URLSearchParams(query).toString();
  return encodeURI(target) + (text === "" ? "" : `?${text}`);
};
