import { type IncomingMessage, request } from "node:http";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

/** A worker's whole reply. */
export interface Reply {
  readonly status: number;
  readonly statusText: string;
  readonly body: Buffer;
}

export interface Ask {
  readonly method?: "GET" | "POST";
  readonly body?: Buffer | Readable;
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
    return await exchange(url, options, signal);
  } catch (error) {
    if (deadline.aborted && !options.signal.aborted)
      throw new Error(`no answer within ${options.deadlineMs / 1000} s`, { cause: error });
    throw error;
  }
};

const exchange = (url: string, options: Ask, signal: AbortSignal): Promise<Reply> =>
  new Promise((resolve, reject) => {
    const outgoing = request(url, { method: options.method ?? "GET", agent: false, signal });
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
