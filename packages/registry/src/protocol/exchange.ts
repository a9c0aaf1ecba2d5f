import { randomBytes } from "node:crypto";
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import type { ObjectStore } from "../store/store.ts";
import { s3Error } from "../s3-error.ts";
import { checksumsOf } from "../store/checksums.ts";
import type { Authenticated } from "./authenticator.ts";
import { bodyBytes } from "./request-stream.ts";
import { type BodyOptions, RequestBody } from "./request-body.ts";
import { RequestFields } from "./request-fields.ts";
import { readTarget, type RequestTarget } from "./request-target.ts";
import { type XmlNode, readXml } from "./xml-reader.ts";
import { S3_NAMESPACE, type XmlElement, xmlDocument } from "./xml-writer.ts";

/** What requests may take. */
export interface ProtocolLimits {
  /** Of an object, or of a part of one. */
  readonly maxObjectBytes: number;
  /** How long a client may be silent in the middle of a body, or not read a reply. */
  readonly idleMs: number;
}

/** What a server lends to its requests. */
export interface ExchangeHost {
  readonly store: ObjectStore;
  readonly region: string;
  readonly limits: ProtocolLimits;
}

/** Any S3 document of ours is smaller: 1,000 keys of 1,024 bytes, each of them escaped. */
const MOST_XML_BYTES = 8 * 1024 * 1024;
const XML_TYPE = "application/xml";

/** One S3 request and its reply. */
export class Exchange {
  /** Random; the client and the log see it. */
  readonly id: string = randomBytes(8).toString("hex").toUpperCase();
  readonly host: ExchangeHost;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Aborts when the client has left. */
  readonly signal: AbortSignal;
  /** What of the request's body has been read, framing included. */
  receivedBytes = 0;
  sentBytes = 0;
  #fields: RequestFields;
  #target: RequestTarget | undefined;
  #authenticated: Authenticated | undefined;
  #expectsContinue: boolean;

  constructor(
    host: ExchangeHost,
    request: IncomingMessage,
    response: ServerResponse,
    expectsContinue: boolean,
  ) {
    this.host = host;
    this.request = request;
    this.response = response;
    this.#expectsContinue = expectsContinue;
    this.#fields = new RequestFields(request.rawHeaders);
    const left = new AbortController();
    this.signal = left.signal;
    response.once("close", () => {
      if (!response.writableFinished) left.abort(s3Error("IncompleteBody", "The client has left."));
    });
  }

  /** Fails with InvalidURI. */
  get target(): RequestTarget {
    return (this.#target ??= readTarget(this.request.url ?? ""));
  }

  get fields(): RequestFields {
    return this.#fields;
  }

  get method(): string {
    return this.request.method ?? "";
  }

  /** As it was sent, without the query: that of a presigned request is as good as a key. */
  get path(): string {
    return (this.request.url ?? "").split("?", 1)[0] ?? "";
  }

  /** Whether the client waits for `100 Continue` before it sends its body. */
  get expectsContinue(): boolean {
    return this.#expectsContinue;
  }

  /** From here on it is known whose it is; a presigned query's parameters count as header fields. */
  admit(authenticated: Authenticated): void {
    this.#authenticated = authenticated;
    if (this.target.query.has("X-Amz-Signature")) this.#fields = this.#fields.withQuery(this.target.query);
  }

  /** The body. Fails as RequestBody does. */
  body(options: BodyOptions = { maxBytes: this.host.limits.maxObjectBytes }): RequestBody {
    if (this.#authenticated === undefined) throw new Error("the request has not been authenticated");
    return new RequestBody(this.#fields, this.#authenticated, () => this.#bytes(), options);
  }

  /**
   * Reads the body in full, checks what is promised of it, and takes it for a document with that outermost element; undefined if it is
   * empty. `checksum`: see BodyOptions.
   */
  async xml(root: string, checksum = true): Promise<XmlNode | undefined> {
    const body = this.body({ maxBytes: MOST_XML_BYTES, checksum });
    const pieces: Uint8Array[] = [];
    for await (const piece of body.bytes) pieces.push(piece);
    const bytes = Buffer.concat(pieces);
    body.verify(digestsOf(bytes, body));
    return bytes.length === 0 ? undefined : readXml(bytes, root);
  }

  sendXml(status: number, [name, content]: XmlElement, headers: OutgoingHttpHeaders = {}): void {
    const text = xmlDocument([name, content, S3_NAMESPACE]);
    this.send(status, text, { "Content-Type": XML_TYPE, ...headers });
  }

  send(status: number, text: string, headers: OutgoingHttpHeaders = {}): void {
    this.write(status, text, headers);
    this.response.end();
  }

  /** The same, but the reply is not ended. */
  write(status: number, text: string, headers: OutgoingHttpHeaders): void {
    const body = Buffer.from(text);
    // 204 and 304 have no body, and no length of one.
    const length = status === 204 || status === 304 ? {} : { "Content-Length": body.length };
    this.#head(status, { ...length, ...headers });
    this.sentBytes += body.length;
    if (body.length > 0) this.response.write(body);
    else this.response.flushHeaders();
  }

  /** Sends `body`, whose length is in the headers, at the client's pace. */
  async sendStream(status: number, body: Readable, headers: OutgoingHttpHeaders): Promise<void> {
    const { response } = this;
    this.#head(status, headers);
    body.on("data", (piece: Buffer) => (this.sentBytes += piece.length));
    const { socket } = response;
    const cut = (): void => void socket?.destroy();
    // A client that does not read holds a file open.
    socket?.setTimeout(this.host.limits.idleMs, cut);
    try {
      await pipeline(body, response, { signal: this.signal });
    } finally {
      socket?.setTimeout(0, cut);
      socket?.off("timeout", cut);
    }
  }

  #head(status: number, headers: OutgoingHttpHeaders): void {
    this.response.writeHead(status, { "x-amz-request-id": this.id, "x-amz-id-2": this.id, ...headers });
  }

  async *#bytes(): AsyncGenerator<Buffer, void> {
    const begin = (): void => {
      if (this.#expectsContinue) this.response.writeContinue();
      this.#expectsContinue = false;
    };
    for await (const bytes of bodyBytes(this.request, { begin, idleMs: this.host.limits.idleMs })) {
      this.receivedBytes += bytes.length;
      yield bytes;
    }
  }
}

const digestsOf = (bytes: Buffer, { algorithms }: RequestBody): Parameters<RequestBody["verify"]>[0] => {
  const values = checksumsOf(["md5", "sha256", ...algorithms], [bytes]);
  const hex = (kind: "md5" | "sha256"): string =>
    Buffer.from(values.get(kind) ?? "", "base64").toString("hex");
  const checksums = new Map(algorithms.map((algorithm) => [algorithm, values.get(algorithm) ?? ""]));
  return { size: bytes.length, md5: hex("md5"), sha256: hex("sha256"), checksums };
};
