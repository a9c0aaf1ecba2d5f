import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";

import { registryClientError } from "./errors.ts";
import { type Doing, failureOf } from "./failure.ts";
import type { Connection } from "./options.ts";
import { Refusal } from "./refusal.ts";
import {
  type Content,
  contentOf,
  type ListingPage,
  type ListingPlace,
  type StoreRequest,
  StoreRequests,
} from "./store-requests.ts";

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

interface DescribedRequest extends StoreRequest {
  readonly doing: Doing;
}

/** What S3 says of a copy is shorter by far. */
const MAX_COPY_ANSWER_BYTES = 65_536;

/** One bucket of an S3 store: the few requests that are needed, each with a time limit, a signal and one kind of error. */
export class ObjectAccess {
  readonly connection: Connection;
  readonly #requests: StoreRequests;
  /** Whether the store says that it knows no conditional writes. */
  #unconditional = false;

  constructor(connection: Connection) {
    this.connection = connection;
    this.#requests = new StoreRequests(connection);
  }

  /** Ends the connections that wait for requests. */
  close(): void {
    this.#requests.close();
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
        ...(options.known === undefined
          ? { accepted: [200] }
          : { headers: { "if-none-match": options.known }, accepted: [200, 304] }),
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
      (await this.#requests.send(request, options.signal)).resume();
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
      (await this.#requests.send(request, signal)).resume();
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
  ): AsyncGenerator<ListingPage["objects"]> {
    let token = "";
    do {
      const page = await this.#page({ prefix, delimiter, token }, doing, signal);
      yield page.objects;
      if (page.isTruncated && (page.nextContinuationToken === "" || page.nextContinuationToken === token))
        throw registryClientError(
          "OL_REGISTRY_CLIENT_BAD_ANSWER",
          `could not ${doing}: the registry's listing does not say how it goes on`,
        );
      token = page.isTruncated ? page.nextContinuationToken : "";
    } while (token !== "");
  }

  async #page(place: ListingPlace, doing: Doing, signal: AbortSignal): Promise<ListingPage> {
    try {
      return await this.#requests.list(place, signal);
    } catch (error) {
      throw this.#failure(doing, error, signal);
    }
  }

  /** Undefined if the store has no such object. */
  async #find(request: DescribedRequest, signal: AbortSignal): Promise<IncomingMessage | undefined> {
    try {
      return await this.#requests.send(request, signal);
    } catch (error) {
      if (error instanceof Refusal && isNoObject(error, request.method)) return undefined;
      throw this.#failure(request.doing, error, signal);
    }
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
const isNoObject = ({ status, s3Code }: Refusal, method: StoreRequest["method"]): boolean =>
  status === 404 && (s3Code === "NoSuchKey" || (method === "HEAD" && s3Code === ""));

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
