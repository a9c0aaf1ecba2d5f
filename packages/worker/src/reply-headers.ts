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
