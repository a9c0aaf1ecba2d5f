import { HEADER_PREFIX } from "@ol/common";

import { balancerError } from "../errors.ts";
import { MAX_FIELDS } from "./limits.ts";

/** Who sends a request, as far as the worker is told. */
export interface Sender {
  /** Its address. */
  readonly client: string;
  /** It is one of `trusted_proxies`: what it says of its own clients is believed. */
  readonly trusted: boolean;
  readonly scheme: "http" | "https";
  /** The ULID of the call. */
  readonly invocationId: string;
}

/** Of one connection, and not for the next. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "expect",
  "http2-settings",
  "proxy-authorization",
  // Said anew by whoever writes the request.
  "content-length",
]);

const FORWARDED = {
  for: "x-forwarded-for",
  proto: "x-forwarded-proto",
  host: "x-forwarded-host",
} as const;

/** An app may see `X_OL_Load` and `X-OL-Load` as one (CGI, WSGI): so does who looks for liars. */
const canonical = (name: string): string => {
  const lower = name.toLowerCase();
  return lower.includes("_") ? lower.replaceAll("_", "-") : lower;
};

const isOurs = (name: string): boolean => name.startsWith(HEADER_PREFIX);
const isForwarded = (name: string): boolean => name.startsWith("x-forwarded-") || name === "forwarded";

/** The names that a Connection field lists, in lower case. */
export const connectionOptions = (value: string | undefined): ReadonlySet<string> | undefined => {
  if (value === undefined) return undefined;
  const lower = value.toLowerCase();
  if (lower === "keep-alive" || lower === "close") return undefined;
  return new Set(lower.split(",").map((name) => name.trim()));
};

/**
 * The fields of a request as they go to a worker, but for those of one try: `raw` is name, value, name, value ... as node:http
 * has it, `connection` the value of its Connection fields. Leaves out what is of one connection, and of whom nobody knows
 * what he says in our name or of his own clients. Fails with OL_BALANCER_BAD_REQUEST (two Host fields) and
 * OL_BALANCER_HEADERS_TOO_LARGE.
 */
export const workerFields = (
  raw: readonly string[],
  connection: string | undefined,
  sender: Sender,
): string[] => {
  if (raw.length > MAX_FIELDS * 2)
    throw balancerError(
      "OL_BALANCER_HEADERS_TOO_LARGE",
      `the request has more than ${MAX_FIELDS} header fields`,
    );
  const named = connectionOptions(connection);
  const fields: string[] = [];
  let host: string | undefined;
  let proto: string | undefined;
  let forwardedHost: string | undefined;
  let clients = "";
  for (let at = 0; at < raw.length; at += 2) {
    const name = canonical(raw[at] as string);
    const value = raw[at + 1] as string;
    if (name === "host") {
      if (host !== undefined) throw twoHosts();
      host = value;
    } else if (isForwarded(name)) {
      if (!sender.trusted) continue;
      if (name === FORWARDED.for) clients += `${value}, `;
      else if (name === FORWARDED.proto) proto = value;
      else if (name === FORWARDED.host) forwardedHost = value;
      else fields.push(raw[at] as string, value);
      continue;
    } else if (isOurs(name) || HOP_BY_HOP.has(name) || named?.has(name) === true) continue;
    fields.push(raw[at] as string, value);
  }
  fields.push("X-Forwarded-For", clients + sender.client, "X-Forwarded-Proto", proto ?? sender.scheme);
  const said = forwardedHost ?? host;
  if (said !== undefined) fields.push("X-Forwarded-Host", said);
  fields.push("X-OL-Invocation-Id", sender.invocationId);
  return fields;
};

const twoHosts = (): Error =>
  balancerError("OL_BALANCER_BAD_REQUEST", "the request has more than one Host header");

/** The part of that which requests for pages have to hold to. */
export const checkFields = (raw: readonly string[]): void => {
  let hosts = 0;
  for (let at = 0; at < raw.length; at += 2) if (canonical(raw[at] as string) === "host") hosts += 1;
  if (hosts > 1) throw twoHosts();
  if (raw.length > MAX_FIELDS * 2)
    throw balancerError(
      "OL_BALANCER_HEADERS_TOO_LARGE",
      `the request has more than ${MAX_FIELDS} header fields`,
    );
};
