import type { Exchange } from "../exchange.ts";

/** What a key pair must be allowed to do. */
export type Need = "read" | "write" | "administer";

/** One thing that S3 clients ask for. */
export interface Operation {
  /** As S3's documentation calls it: `PutObject`. */
  readonly name: string;
  readonly needs: Need;
  /** Whether it is about the server, a bucket or an object. */
  readonly on: "server" | "bucket" | "object";
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** Parameters of the query that must be there: they make it this operation. */
  readonly query?: readonly string[];
  /** A header field that must be there. */
  readonly field?: string;
  /** Further parameters of the query that it takes. */
  readonly takes?: readonly string[];
  /** Answers the request, or fails with an S3Error before anything was sent. */
  run(exchange: Exchange): Promise<void> | void;
}
