import type { IncomingMessage, ServerResponse } from "node:http";

/** So much of a body that nobody wants is read to keep the connection; a new one costs about as much. */
const KEEP_BYTES = 1024 * 1024;
/** And so much to let a client that sends first and reads then see its reply. */
const MOST_BYTES = 64 * 1024 * 1024;
const MOST_MS = 15_000;

/**
 * Whether a reply that is sent before the request's body has been read must end the connection. It must if the client was not
 * told to send it, since it may or may not do so now, and if there is much to come.
 */
export const mustClose = (request: IncomingMessage, expectsContinue: boolean): boolean => {
  if (request.complete) return false;
  if (expectsContinue) return true;
  const length = Number(request.headers["content-length"] ?? Number.POSITIVE_INFINITY);
  return length > KEEP_BYTES;
};

/**
 * Ends a reply that is written in full already, once the rest of the request has been read, within bounds: a connection that is closed
 * while the client still sends is reset, and takes the reply with it.
 */
export const endAfterLeftover = (request: IncomingMessage, response: ServerResponse): void => {
  let bytes = 0;
  const end = (): void => {
    clearTimeout(timer);
    request.off("data", count).off("end", end).off("close", end);
    response.end();
  };
  const count = (piece: Buffer): void => {
    bytes += piece.length;
    if (bytes > MOST_BYTES) end();
  };
  const timer = setTimeout(end, MOST_MS);
  // A readable's listeners that are left would keep it from flowing.
  request.on("data", count).once("end", end).once("close", end);
  if (request.complete && request.readableEnded) end();
  else request.resume();
};
