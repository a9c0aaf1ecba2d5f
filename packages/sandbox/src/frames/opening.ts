import { sandboxError } from "../errors.ts";
import type { Call, HttpRequest } from "./call.ts";
import { MAX_META_BYTES, MAX_META_PAIRS } from "./codec.ts";

/** What cannot be in a meta string: its separator, and what latin-1 cannot hold (U+0100 would become a NUL). */
// oxlint-disable-next-line no-control-regex
const UNSAFE = /[\0\u0100-\uffff]/;
const COLON = 58;
/** Pairs besides the client's fields: `:id`, `:timeout` and traceparent; of a request five more. */
const CALL_PAIRS = 3;
const HTTP_PAIRS = 8;
const NO_FIELDS: readonly string[] = [];

/**
 * The meta of a CALL or HTTP frame. Throws OL_SANDBOX_BAD_OPTIONS when a field cannot be sent and
 * OL_SANDBOX_HEADERS_TOO_LARGE when the client's header fields are too many or too long.
 */
export const openingMeta = (call: Call): string => {
  if (!(call.timeoutMs > 0))
    throw sandboxError("OL_SANDBOX_BAD_OPTIONS", "A call's timeoutMs must be greater than 0.");
  const timeoutMs = Math.min(Math.ceil(call.timeoutMs), Number.MAX_SAFE_INTEGER);
  let meta = `:id\0${checked(call.invocationId, "invocationId")}\0:timeout\0${timeoutMs}`;
  if (call.http !== undefined) meta += requestMeta(call.http);
  if (call.traceparent !== undefined) meta += `\0traceparent\0${checked(call.traceparent, "traceparent")}`;
  const headers = call.rawHeaders ?? NO_FIELDS;
  checkCount(headers.length >> 1, call);
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

const requestMeta = ({ method, mount, path, query, client }: HttpRequest): string =>
  `\0:method\0${checked(method, "http.method")}\0:mount\0${checked(mount, "http.mount")}` +
  `\0:path\0${checked(path, "http.path")}\0:query\0${checked(query, "http.query")}` +
  `\0:client\0${checked(client, "http.client")}`;

const checkCount = (fields: number, call: Call): void => {
  const most = MAX_META_PAIRS - (call.http === undefined ? CALL_PAIRS : HTTP_PAIRS);
  if (fields <= most) return;
  throw sandboxError(
    "OL_SANDBOX_HEADERS_TOO_LARGE",
    `The request has ${fields} header fields; ${most} is the most.`,
  );
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
