import { HEADER, HEADER_PREFIX } from "@ol/common";

import { connectionOptions } from "./request-fields.ts";

/** A worker's reply head, as the client gets it, and what the worker said to us in it. */
export interface ReplyHead {
  /** Name, value, name, value ... */
  readonly headers: string[];
  readonly load: string | undefined;
  readonly warm: string | undefined;
  /** Not one byte of the request reached a sandbox: the worker's own word. */
  readonly notStarted: boolean;
  /** Its Content-Length in bytes, if it says one. */
  readonly length: number | undefined;
}

/** Of the connection to the worker, and not for the client. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "trailer",
  "te",
  "proxy-authenticate",
]);

/** Reads `raw`, name, value, name, value ... as undici has it. */
export const replyHead = (raw: readonly Buffer[], invocationId: string): ReplyHead => {
  const headers: string[] = [];
  const ours = new Map<string, string>();
  let connection: string | undefined;
  let length: number | undefined;
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = (raw[at] as Buffer).toString("latin1");
    const value = (raw[at + 1] as Buffer).toString("latin1");
    const lower = name.toLowerCase();
    if (lower.startsWith(HEADER_PREFIX)) ours.set(lower, value);
    else if (HOP_BY_HOP.has(lower)) {
      if (lower === "connection") connection = connection === undefined ? value : `${connection}, ${value}`;
    } else {
      if (lower === "content-length") length = Number(value);
      headers.push(name, value);
    }
  }
  const named = connectionOptions(connection);
  const kept = named === undefined ? headers : without(headers, named);
  kept.push("X-OL-Invocation-Id", invocationId);
  return {
    headers: kept,
    load: ours.get(HEADER.load),
    warm: ours.get(HEADER.warm),
    notStarted: ours.get(HEADER.notStarted) === "1",
    length,
  };
};

const without = (headers: readonly string[], names: ReadonlySet<string>): string[] =>
  headers.filter((_, at) => {
    const name = (headers[at - (at % 2)] as string).toLowerCase();
    return name === "content-length" || !names.has(name);
  });
