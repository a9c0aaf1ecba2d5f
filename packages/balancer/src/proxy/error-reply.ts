import { isOlError, type OlError } from "@ol/common";

export const TEXT_TYPE = "text/plain; charset=utf-8";

/** An error as the client gets it: `text/plain`, one line. */
export interface ErrorReply {
  readonly status: number;
  readonly body: Buffer;
  /** Name, value, name, value ... */
  readonly headers: string[];
}

const DEFAULT_RETRY_SEC = 1;

/**
 * What an error is answered with. `started` is whether a byte of the request may have reached a worker. What is no error of
 * ours is a defect, and its text stays in the log.
 */
export const errorReply = (error: unknown, started: boolean): ErrorReply => {
  const known = isOlError(error);
  const status = known ? error.status : 500;
  const body = Buffer.from(known ? `${error.message}\n` : "the balancer failed to pass the call on\n");
  const headers = [
    "Content-Type",
    TEXT_TYPE,
    "Content-Length",
    String(body.length),
    "X-Content-Type-Options",
    "nosniff",
  ];
  if (known && (status === 429 || status === 503)) headers.push("Retry-After", String(retryAfterSec(error)));
  if (status === 503 && !started) headers.push("X-OL-Not-Started", "1");
  return { status, body, headers };
};

const retryAfterSec = ({ details }: OlError): number => {
  const { retryAfterSec: seconds } = details;
  return typeof seconds === "number" ? Math.max(Math.ceil(seconds), 1) : DEFAULT_RETRY_SEC;
};
