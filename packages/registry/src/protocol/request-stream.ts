import type { IncomingMessage } from "node:http";

import { s3Error } from "../s3-error.ts";

/** The bytes of a request's body as they come. */
export interface BodyStream {
  /** Is called before the first byte is asked for: the moment for `100 Continue`. */
  readonly begin: () => void;
  /** A client that is silent for so long in the middle of its body is not waited for. */
  readonly idleMs: number;
}

/**
 * The request's bytes. Fails with RequestTimeout, and with IncompleteBody if the client leaves. Whoever stops
 * reading leaves the request as it is: the connection is still good for a reply.
 */
export async function* bodyBytes(
  request: IncomingMessage,
  { begin, idleMs }: BodyStream,
): AsyncGenerator<Buffer, void> {
  begin();
  for (;;) {
    const bytes = request.read() as Buffer | null;
    if (bytes !== null) {
      yield bytes;
      continue;
    }
    if (request.readableEnded) return;
    if (request.destroyed) throw s3Error("IncompleteBody");
    await news(request, idleMs);
  }
}

/** Settles when there may be more to read, or nothing any more. */
const news = (request: IncomingMessage, idleMs: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const settle = (error?: Error): void => {
      clearTimeout(timer);
      for (const event of EVENTS) request.off(event, wake);
      if (error === undefined) resolve();
      else reject(error);
    };
    // Also of an error, which is an end like any other: `destroyed` tells.
    const wake = (): void => settle();
    const timer = setTimeout(() => settle(s3Error("RequestTimeout")), idleMs);
    for (const event of EVENTS) request.on(event, wake);
  });

const EVENTS = ["readable", "end", "error", "close"] as const;
