import { createHash } from "node:crypto";
import { Agent as HttpAgent, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { rootCertificates } from "node:tls";

import { Client } from "minio";

import { registryClientError } from "./errors.ts";
import { type Doing, failureOf } from "./failure.ts";
import type { Connection } from "./options.ts";
import { Refusal } from "./refusal.ts";
import { OneRequest, type Sending } from "./transport.ts";

/** What is known of an object without its content. */
export interface ObjectHead {
  /** As the store gives it, with its quotes. */
  readonly etag: string;
  /** In bytes. */
  readonly size: number;
  readonly modifiedMs: number;
  /** The store's own clock when it said so; undefined if it did not. */
  readonly nowMs: number | undefined;
}

/** A small object. */
export interface SmallObject extends ObjectHead {
  readonly body: Buffer;
}

/** One entry of a listing. */
export interface ListedObject {
  readonly key: string;
  readonly size: number;
  readonly modifiedMs: number;
  readonly etag: string;
}

/** What a write requires of the object that is there: none, or the one with that ETag. */
export type Condition = { readonly none: true } | { readonly etag: string };

/** What is to be sent. `make` is called again if the request has to be repeated. */
export interface Content {
  readonly size: number;
  /** SHA-256 in hexadecimal: signed with the request, so that a store that checks signatures notices every damaged byte. */
  readonly sha256: string;
  readonly make: () => Readable | Buffer;
  readonly type: string;
}

interface Request {
  readonly method: "GET" | "HEAD" | "PUT" | "DELETE";
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly accepted: readonly number[];
  readonly doing: Doing;
  /** A body that takes as long as it takes. */
  readonly long?: boolean;
  readonly maxBytes?: number;
  readonly content?: Content;
}

/** With the connections that are kept open, so that one client does not take a store's all. */
const MAX_CONNECTIONS = 32;
/** How often a request is sent in all, if the store is overloaded or the connection ended before an answer. */
const ATTEMPTS = 3;
const FIRST_DELAY_MS = 100;
/** The store asks to come later, or one of its parts was not there for a moment. */
const PASSING = [429, 500, 502, 503, 504];
/** 1,000 entries of a listing with the longest keys. */
const MAX_LISTING_BYTES = 8 * 1024 * 1024;
const MAX_COPY_ANSWER_BYTES = 65_536;
const SHA256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** One bucket of an S3 store: the few requests that are needed, each with a time limit, a signal and one kind of error. */
export class ObjectAccess {
  readonly connection: Connection;
  readonly #agent: HttpAgent;
  /** Whether the store says that it knows no conditional writes. */
  #unconditional = false;

  constructor(connection: Connection) {
    this.connection = connection;
    const options = { keepAlive: true, maxSockets: MAX_CONNECTIONS };
    this.#agent =
      connection.endpoint.protocol === "https:"
        ? new HttpsAgent({
            ...options,
            ...(connection.ca !== undefined && { ca: [...rootCertificates, connection.ca] }),
          })
        : new HttpAgent(options);
  }

  /** Ends the connections that wait for requests. */
  close(): void {
    this.#agent.destroy();
  }

  /** Undefined if there is no such object; "unchanged" if it still has the ETag `known`. */
  async get(
    key: string,
    doing: Doing,
    options: { readonly known?: string | undefined; readonly maxBytes: number; readonly signal: AbortSignal },
  ): Promise<SmallObject | "unchanged" | undefined> {
    const answer = await this.#find(
      {
        method: "GET",
        key,
        headers: options.known === undefined ? {} : { "if-none-match": options.known },
        accepted: [200, 304],
        doing,
        maxBytes: options.maxBytes,
      },
      options.signal,
    );
    if (answer === undefined) return undefined;
    const body = await this.#read(answer, doing, options.signal);
    return answer.statusCode === 304 ? "unchanged" : { ...headOf(answer, body.length), body };
  }

  /** An object's bytes as they come; undefined if there is none. With `etag` only if it still has that one. */
  async stream(
    key: string,
    doing: Doing,
    options: { readonly etag?: string; readonly signal: AbortSignal },
  ): Promise<{ readonly head: ObjectHead; readonly body: Readable } | undefined> {
    const headers = options.etag === undefined ? {} : { "if-match": options.etag };
    const answer = await this.#find(
      { method: "GET", key, headers, accepted: [200], doing, long: true },
      options.signal,
    );
    if (answer === undefined) return undefined;
    // Who reads it gets the error even so; without a listener it would end the process when nobody reads yet.
    answer.on("error", () => undefined);
    return { head: headOf(answer), body: answer };
  }

  /** Undefined if there is no such object. */
  async head(key: string, doing: Doing, signal: AbortSignal): Promise<ObjectHead | undefined> {
    const answer = await this.#find({ method: "HEAD", key, accepted: [200], doing }, signal);
    answer?.resume();
    return answer === undefined ? undefined : headOf(answer);
  }

  /** Writes an object. False if the condition does not hold, as far as the store looks at conditions. */
  async put(
    key: string,
    content: Content,
    doing: Doing,
    options: { readonly condition?: Condition | undefined; readonly signal: AbortSignal },
  ): Promise<boolean> {
    const condition = this.#unconditional ? undefined : options.condition;
    const request = {
      method: "PUT",
      key,
      headers: { "content-type": content.type, ...conditionFields(condition) },
      accepted: [200],
      doing,
      long: true,
      content,
    } as const;
    try {
      (await this.#send(request, options.signal)).resume();
      return true;
    } catch (error) {
      if (condition !== undefined && error instanceof Refusal) {
        // 409: another conditional request for the same key is under way. 404: If-Match on what is gone.
        if (error.status === 412 || error.status === 409 || error.s3Code === "NoSuchKey") return false;
        if (error.status === 501) {
          this.#unconditional = true;
          return await this.put(key, content, doing, options);
        }
      }
      throw this.#failure(doing, error, options.signal);
    }
  }

  /** Has the store copy an object; false if there is none. */
  async copy(from: string, to: string, doing: Doing, signal: AbortSignal): Promise<boolean> {
    const headers = { "x-amz-copy-source": `/${this.connection.bucket}/${from}` };
    const answer = await this.#find(
      {
        method: "PUT",
        key: to,
        headers,
        accepted: [200],
        doing,
        long: true,
        maxBytes: MAX_COPY_ANSWER_BYTES,
      },
      signal,
    );
    if (answer === undefined) return false;
    const text = (await this.#read(answer, doing, signal)).toString();
    // S3 has to answer before it is done, and then says in the body if that failed.
    if (!text.includes("<Error>")) return true;
    throw this.#failure(doing, new Refusal(500, {}, text), signal);
  }

  /** Does nothing if there is no such object. */
  async delete(key: string, doing: Doing, signal: AbortSignal): Promise<void> {
    (await this.#find({ method: "DELETE", key, accepted: [200, 204], doing }, signal))?.resume();
  }

  /** Every object below `prefix`. */
  async *list(prefix: string, doing: Doing, signal: AbortSignal): AsyncGenerator<ListedObject> {
    yield* this.#listed(prefix, "", doing, signal);
  }

  /** The objects whose keys have no `/`. */
  async *top(doing: Doing, signal: AbortSignal): AsyncGenerator<ListedObject> {
    yield* this.#listed("", "/", doing, signal);
  }

  /** Makes the bucket unless it is there. */
  async ensureBucket(signal: AbortSignal): Promise<void> {
    const { bucket } = this.connection;
    const doing = `look for the bucket ${bucket}`;
    if ((await this.#find({ method: "HEAD", accepted: [200], doing }, signal))?.resume() !== undefined)
      return;
    const making = `make the bucket ${bucket}`;
    const content = placeOf(this.connection.region);
    try {
      const request = {
        method: "PUT",
        accepted: [200],
        doing: making,
        ...(content !== undefined && { content }),
      } as const;
      (await this.#send(request, signal)).resume();
    } catch (error) {
      // Somebody else made it at the same time.
      if (error instanceof Refusal && error.s3Code === "BucketAlreadyOwnedByYou") return;
      throw this.#failure(making, error, signal);
    }
  }

  async *#listed(
    prefix: string,
    delimiter: string,
    doing: Doing,
    signal: AbortSignal,
  ): AsyncGenerator<ListedObject> {
    for await (const page of this.#pages(prefix, delimiter, doing, signal))
      for (const entry of page)
        if ("name" in entry && entry.name !== undefined)
          yield {
            key: entry.name,
            size: entry.size,
            modifiedMs: entry.lastModified.getTime(),
            etag: entry.etag,
          };
  }

  async *#pages(
    prefix: string,
    delimiter: string,
    doing: Doing,
    signal: AbortSignal,
  ): AsyncGenerator<Awaited<ReturnType<Client["listObjectsV2Query"]>>["objects"]> {
    const { bucket } = this.connection;
    let token = "";
    do {
      const page = await this.#listing(
        (client) => client.listObjectsV2Query(bucket, prefix, token, delimiter, 1_000, ""),
        doing,
        signal,
      );
      yield page.objects;
      if (page.isTruncated && (page.nextContinuationToken === "" || page.nextContinuationToken === token))
        throw registryClientError(
          "OL_REGISTRY_CLIENT_BAD_ANSWER",
          `could not ${doing}: the registry's listing does not say how it goes on`,
        );
      token = page.isTruncated ? page.nextContinuationToken : "";
    } while (token !== "");
  }

  async #listing<T>(ask: (client: Client) => Promise<T>, doing: Doing, signal: AbortSignal): Promise<T> {
    const { timeoutMs } = this.connection;
    try {
      return await this.#attempts(signal, (request) => ask(this.#client(request)), {
        accepted: [200],
        deadlineMs: timeoutMs,
        maxBytes: MAX_LISTING_BYTES,
      });
    } catch (error) {
      throw this.#failure(doing, error, signal);
    }
  }

  /** Undefined if the store has no such object. */
  async #find(request: Request, signal: AbortSignal): Promise<IncomingMessage | undefined> {
    try {
      return await this.#send(request, signal);
    } catch (error) {
      if (error instanceof Refusal && isNoObject(error, request.method)) return undefined;
      throw this.#failure(request.doing, error, signal);
    }
  }

  #send(request: Request, signal: AbortSignal): Promise<IncomingMessage> {
    const { bucket, region, timeoutMs } = this.connection;
    const { method, key, content } = request;
    const options = {
      method,
      bucketName: bucket,
      ...(key !== undefined && { objectName: key }),
      headers: {
        ...request.headers,
        ...(content !== undefined && { "content-length": String(content.size) }),
      },
    };
    return this.#attempts(
      signal,
      (one) =>
        this.#client(one).makeRequestStreamAsync(
          options,
          content?.make() ?? "",
          content?.sha256 ?? SHA256_OF_NOTHING,
          [...request.accepted],
          region,
        ),
      {
        accepted: request.accepted,
        deadlineMs: request.long === true ? undefined : timeoutMs,
        maxBytes: request.maxBytes,
      },
    );
  }

  /** Sends it again where that may help; every request of ours may be repeated. */
  async #attempts<T>(
    signal: AbortSignal,
    send: (request: OneRequest) => Promise<T>,
    sending: Pick<Sending, "accepted" | "deadlineMs" | "maxBytes">,
  ): Promise<T> {
    const { endpoint, timeoutMs } = this.connection;
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted();
      const request = new OneRequest({
        ...sending,
        secure: endpoint.protocol === "https:",
        silenceMs: timeoutMs,
        signal,
      });
      try {
        return await send(request);
      } catch (error) {
        const passing = error instanceof Refusal && PASSING.includes(error.status);
        // A connection that the store closed when we wrote to it was simply too old.
        if (attempt >= ATTEMPTS || signal.aborted || !(passing || isCrossing(request, error))) throw error;
        if (passing)
          await sleep(FIRST_DELAY_MS * 4 ** (attempt - 1) * (0.5 + Math.random()), undefined, { signal });
      }
    }
  }

  /** Minio-js signs and writes the request; what it keeps between requests is nothing, so that each has its own. */
  #client(request: OneRequest): Client {
    const { endpoint, accessKey, secretKey, region, pathStyle } = this.connection;
    const secure = endpoint.protocol === "https:";
    const client = new Client({
      endPoint: endpoint.hostname.replace(/^\[(?<inside>.*)\]$/u, "$<inside>"),
      port: endpoint.port === "" ? (secure ? 443 : 80) : Number(endpoint.port),
      useSSL: secure,
      accessKey,
      secretKey,
      region,
      pathStyle,
      transportAgent: this.#agent,
      transport: { request: request.request as typeof import("node:http").request },
      // It repeats only what it has a status for, forgets what the store said, and writes to the console.
      retryOptions: { disableRetry: true },
    });
    // With TLS it would leave the content unsigned.
    client.enableSHA256 = true;
    return client;
  }

  async #read(answer: IncomingMessage, doing: Doing, signal: AbortSignal): Promise<Buffer> {
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
      return Buffer.concat(chunks);
    } catch (error) {
      throw this.#failure(doing, error, signal);
    }
  }

  #failure(doing: Doing, error: unknown, signal: AbortSignal): unknown {
    return failureOf(this.connection, doing, error, signal);
  }
}

/**
 * Whether the store says, by itself and about the object, that there is none. A 404 alone may come from whatever else answers
 * there, or be about a key: that must not look as if a lambda had been removed. Answers to HEAD have no words.
 */
const isNoObject = ({ status, s3Code }: Refusal, method: Request["method"]): boolean =>
  status === 404 && (s3Code === "NoSuchKey" || (method === "HEAD" && s3Code === ""));

const isCrossing = (request: OneRequest, error: unknown): boolean =>
  request.reused &&
  !request.answered &&
  error instanceof Error &&
  "code" in error &&
  (error.code === "ECONNRESET" || error.code === "EPIPE");

/** Bytes that are in memory. */
export const contentOf = (bytes: Buffer, type: string): Content => ({
  size: bytes.length,
  sha256: createHash("sha256").update(bytes).digest("hex"),
  make: () => bytes,
  type,
});

/** AWS refuses to hear of its first region. */
const placeOf = (region: string): Content | undefined =>
  region === "us-east-1"
    ? undefined
    : contentOf(
        Buffer.from(
          `<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>${region}</LocationConstraint></CreateBucketConfiguration>`,
        ),
        "application/xml",
      );

const conditionFields = (condition: Condition | undefined): Record<string, string> => {
  if (condition === undefined) return {};
  return "none" in condition ? { "if-none-match": "*" } : { "if-match": condition.etag };
};

const headOf = ({ headers }: IncomingMessage, size?: number): ObjectHead => ({
  etag: headers.etag ?? "",
  size: size ?? Number(headers["content-length"] ?? Number.NaN),
  modifiedMs: Date.parse(headers["last-modified"] ?? ""),
  nowMs: headers.date === undefined ? undefined : Date.parse(headers.date),
});
