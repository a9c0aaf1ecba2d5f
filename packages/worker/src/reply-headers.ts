import type { Socket } from "node:net";

/** The headers of the worker's replies, in the spelling that people read. */
export const REPLY_HEADER = {
  invocationId: "X-OL-Invocation-Id",
  load: "X-OL-Load",
  warm: "X-OL-Warm",
  notStarted: "X-OL-Not-Started",
  timing: "Server-Timing",
  retryAfter: "Retry-After",
  contentType: "Content-Type",
  contentLength: "Content-Length",
} as const;

export const JSON_TYPE = "application/json";
export const TEXT_TYPE = "text/plain; charset=utf-8";

/** When a client that was refused for want of room should try again. */
export const RETRY_AFTER_SEC = "1";

/** The last X-OL-Warm on a connection. */
const told = new WeakMap<Socket, string>();

/** What is warm now, unless this connection's other end has been told the same: a header of a reply costs as much as a look. */
export const addWarm = (headers: string[], socket: Socket, warm: string): void => {
  if (told.get(socket) === warm) return;
  told.set(socket, warm);
  headers.push(REPLY_HEADER.warm, warm);
};
