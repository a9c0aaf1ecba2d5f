import { HEADER_PREFIX, type OlError } from "@ol/common";
import type { ReplyHead } from "@ol/sandbox";

import { workerError } from "./errors.ts";

/** What an app says of the connection is not the app's to say; what it says in our name neither. */
const OURS: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "trailer",
]);

/** The head of an app's reply, as it is written. */
export interface AppHead {
  readonly status: number;
  /** Name, value, name, value ... */
  readonly headers: string[];
  /** How many bytes its Content-Length promises; undefined if it says nothing. */
  readonly promised: number | undefined;
}

/** Whether a reply to `method` with that status has a body (RFC 9110, 6.4.1). */
export const hasBody = (method: string | undefined, status: number): boolean =>
  method !== "HEAD" && status !== 204 && status !== 304;

/**
 * What of an app's head is written. Fails with OL_WORKER_BAD_APP_REPLY if its Content-Length is no number, or there are
 * two that differ: who reads the connection after us could take another length for the right one.
 */
export const appHead = ({ status, headers: all }: ReplyHead): AppHead => {
  const headers: string[] = [];
  let promised: number | undefined;
  for (let at = 0; at + 1 < all.length; at += 2) {
    const name = all[at] as string;
    const value = all[at + 1] as string;
    const lower = name.toLowerCase();
    if (OURS.has(lower) || lower.startsWith(HEADER_PREFIX)) continue;
    if (lower === "content-length") {
      const length = lengthOf(value);
      if (promised !== undefined && promised !== length)
        throw badReply("two Content-Length fields that differ");
      promised = length;
      continue;
    }
    headers.push(name, value);
  }
  // In a 204 it is forbidden; in a 304 it may be there, but undici waits for a body then.
  if (promised !== undefined && status !== 204 && status !== 304)
    headers.push("Content-Length", String(promised));
  return { status, headers, promised };
};

const lengthOf = (value: string): number => {
  const length = Number(value);
  if (/^[0-9]{1,15}$/u.test(value)) return length;
  throw badReply(`a Content-Length that is no number: ${JSON.stringify(value.slice(0, 40))}`);
};

/** What a reply is answered with that is all there, and not as long as its Content-Length says. */
export const wrongLength = (promised: number, bytes: number): OlError =>
  badReply(`a Content-Length of ${promised} and a body of ${bytes} bytes`);

const badReply = (what: string): OlError =>
  workerError("OL_WORKER_BAD_APP_REPLY", `the app replied with ${what}`);
