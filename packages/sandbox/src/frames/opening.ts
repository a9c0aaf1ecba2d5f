import { sandboxError } from "../errors.ts";
import type { Call } from "./call.ts";
import { MAX_META_BYTES, MAX_META_PAIRS } from "./codec.ts";

/** What cannot be in a meta string: its separator, and what latin-1 cannot hold (U+0100 would become a NUL). */
// oxlint-disable-next-line no-control-regex
const UNSAFE = /[\0\u0100-\uffff]/;
const COLON = 58;

/**
 * The meta of a CALL frame. Throws OL_SANDBOX_BAD_OPTIONS when a field cannot be sent and
 * OL_SANDBOX_HEADERS_TOO_LARGE when the client's header fields are too many or too long.
 */
export const callMeta = (call: Call): string => {
  if (!(call.timeoutMs > 0))
    throw sandboxError("OL_SANDBOX_BAD_OPTIONS", "A call's timeoutMs must be greater than 0.");
  const timeoutMs = Math.min(Math.ceil(call.timeoutMs), Number.MAX_SAFE_INTEGER);
  let meta = `:id\0${checked(call.invocationId, "invocationId")}\0:timeout\0${timeoutMs}`;
  if (call.traceparent !== undefined) meta += `\0traceparent\0${checked(call.traceparent, "traceparent")}`;
  const headers = call.rawHeaders;
  if (headers === undefined) return meta;
  if (headers.length > 2 * (MAX_META_PAIRS - 3))
    throw sandboxError(
      "OL_SANDBOX_HEADERS_TOO_LARGE",
      `The request has ${headers.length >> 1} header fields; ${MAX_META_PAIRS - 3} is the most.`,
    );
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] as string;
    if (isOurs(name, call)) continue;
    meta += `\0${checked(name, "rawHeaders")}\0${checked(headers[at + 1] as string, "rawHeaders")}`;
  }
  if (meta.length > MAX_META_BYTES)
    throw sandboxError(
      "OL_SANDBOX_HEADERS_TOO_LARGE",
      `The request's header fields take ${meta.length} bytes; ${MAX_META_BYTES} is the most.`,
    );
  return meta;
};

const checked = (text: string, field: string): string => {
  if (!UNSAFE.test(text)) return text;
  throw sandboxError(
    "OL_SANDBOX_BAD_OPTIONS",
    `A call's ${field} contains a character that is not latin-1, or a NUL.`,
  );
};

/** A field of the client that would be taken for one of the protocol's, or for the trace context we send. */
const isOurs = (name: string, call: Call): boolean =>
  name.charCodeAt(0) === COLON ||
  (name.length === 11 && call.traceparent !== undefined && name.toLowerCase() === "traceparent");
