import { createHash } from "node:crypto";
import { Agent as HttpAgent, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { rootCertificates } from "node:tls";

import { Client } from "minio";

import type { Connection } from "./options.ts";
import { Refusal } from "./refusal.ts";
import { OneRequest, type Sending } from "./transport.ts";

/** What is to be sent. `make` is called again if the request has to be repeated. */
export interface Content {
  readonly size: number;
  /** SHA-256 in hexadecimal: signed with the request, so that a store that checks signatures notices every damaged byte. */
  readonly sha256: string;
  readonly make: () => Readable | Buffer;
  readonly type: string;
}

/** One request about the bucket, or an object in it. */
export interface StoreRequest {
  readonly method: "GET" | "HEAD" | "PUT" | "DELETE";
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The statuses whose answer is handed on; any other fails with a Refusal. */
  readonly accepted: readonly number[];
  /** A body that takes as long as it takes. */
  readonly long?: boolean;
  /** Longer answers fail. */
  readonly maxBytes?: number;
  readonly content?: Content;
}

/** Where a listing goes on. */
export interface ListingPlace {
  readonly prefix: string;
  /** Empty: none. */
  readonly delimiter: string;
  /** What the page before said; empty: from the beginning. */
  readonly token: string;
}

/** One page of a listing, as minio-js reads it. */
export type ListingPage = Awaited<ReturnType<Client["listObjectsV2Query"]>>;

/** With the connections that are kept open, so that one client does not take a store's all. */
const MAX_CONNECTIONS = 32;
/** How often a request is sent in all, if the store is overloaded or the connection ended before an answer. */
const ATTEMPTS = 3;
const FIRST_DELAY_MS = 100;
/** The store asks to come later, or one of its parts was not there for a moment. */
const PASSING = [429, 500, 502, 503, 504];
/** 1,000 entries of a listing with the longest keys. */
const MAX_LISTING_BYTES = 8 * 1024 * 1024;
const SHA256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** Sends signed requests to one store, again where that may help. Fails with Refusal, and with whatever breaks on the way. */
export class StoreRequests {
  readonly #connection: Connection;
  readonly #agent: HttpAgent;

  constructor(connection: Connection) {
    this.#connection = connection;
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

  /** Settles with the answer's head; its body is read by whoever asked. */
  send(request: StoreRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const { bucket, region, timeoutMs } = this.#connection;
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

  /** At most 1,000 keys from one place on. */
  list({ prefix, delimiter, token }: ListingPlace, signal: AbortSignal): Promise<ListingPage> {
    const { bucket, timeoutMs } = this.#connection;
    return this.#attempts(
      signal,
      (one) => this.#client(one).listObjectsV2Query(bucket, prefix, token, delimiter, 1_000, ""),
      { accepted: [200], deadlineMs: timeoutMs, maxBytes: MAX_LISTING_BYTES },
    );
  }

  /** Sends it again where that may help; every request of ours may be repeated. */
  async #attempts<T>(
    signal: AbortSignal,
    send: (request: OneRequest) => Promise<T>,
    sending: Pick<Sending, "accepted" | "deadlineMs" | "maxBytes">,
  ): Promise<T> {
    const { endpoint, timeoutMs } = this.#connection;
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
    const { endpoint, accessKey, secretKey, region, pathStyle } = this.#connection;
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
}

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
