import { type IncomingMessage, request } from "node:http";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { TLSSocket } from "node:tls";

import { connectPinned } from "./pinned-connection.ts";

/** A worker's whole reply. */
export interface Reply {
  readonly status: number;
  readonly statusText: string;
  readonly body: Buffer;
}

export interface Ask {
  readonly method?: "GET" | "POST";
  readonly body?: Buffer | Readable;
  /** For https: the file with the certificate that the server has. */
  readonly certificateFile?: string | undefined;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

const MAX_REPLY_BYTES = 1024 * 1024 * 1024;

const collect = async (message: IncomingMessage): Promise<Buffer> => {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of message as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > MAX_REPLY_BYTES) throw new Error("the reply is larger than 1 GiB");
    parts.push(part);
  }
  return Buffer.concat(parts);
};

/** One HTTP request on a connection of its own, with a deadline for the whole of it. */
export const ask = async (url: string, options: Ask): Promise<Reply> => {
  const deadline = AbortSignal.timeout(options.deadlineMs);
  const signal = AbortSignal.any([options.signal, deadline]);
  try {
    const { certificateFile } = options;
    const pinned =
      certificateFile === undefined ? undefined : await connectPinned(new URL(url), certificateFile, signal);
    return await exchange(url, options, signal, pinned);
  } catch (error) {
    if (deadline.aborted && !options.signal.aborted)
      throw new Error(`no answer within ${options.deadlineMs / 1000} s`, { cause: error });
    throw error;
  }
};

const exchange = (
  url: string,
  options: Ask,
  signal: AbortSignal,
  pinned: TLSSocket | undefined,
): Promise<Reply> =>
  new Promise((resolve, reject) => {
    const outgoing = request(pinned === undefined ? url : url.replace(/^https:/u, "http:"), {
      method: options.method ?? "GET",
      // An agent, even this one, would make connections of its own.
      ...(pinned === undefined ? { agent: false } : { createConnection: () => pinned }),
      signal,
    });
    outgoing.once("error", reject);
    outgoing.once("response", (message) => {
      collect(message)
        .then((body) =>
          resolve({ status: message.statusCode ?? 0, statusText: message.statusMessage ?? "", body }),
        )
        .catch(reject);
    });
    const { body } = options;
    // Without a body: the event of a function is {} then.
    if (body === undefined || Buffer.isBuffer(body)) outgoing.end(body);
    else pipeline(body, outgoing, { signal }).catch(reject);
  });
