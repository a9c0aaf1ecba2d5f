import { HEADER_PREFIX, PROXY_HEADER } from "@ol/common";

import { workerError } from "./errors.ts";

/** So many fields fit into the first frame of a call, with those of ours. */
const MAX_FIELDS = 250;

/**
 * Looks a request's header over, once: `rawHeaders` is name, value, name, value ... as node:http has it.
 * Returns what is passed on to the lambda: all of it but a load balancer's proof, or without X-OL-* unless the peer is trusted.
 * Fails with OL_WORKER_BAD_REQUEST for more than one Host (two readers may pick different ones) and with
 * OL_WORKER_HEADERS_TOO_LARGE.
 */
export const checkedHeaders = (rawHeaders: readonly string[], trusted: boolean): readonly string[] => {
  if (rawHeaders.length > MAX_FIELDS * 2)
    throw workerError("OL_WORKER_HEADERS_TOO_LARGE", `the request has more than ${MAX_FIELDS} header fields`);
  let hosts = 0;
  let ours = false;
  let proof = false;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string;
    if (name.length === 4 && name.toLowerCase() === "host") hosts += 1;
    else if (isOurs(name)) {
      ours = true;
      proof ||= isProof(name);
    }
  }
  if (hosts > 1) throw workerError("OL_WORKER_BAD_REQUEST", "the request has more than one Host header");
  if (trusted ? !proof : !ours) return rawHeaders;
  const isLeftOut = trusted ? isProof : isOurs;
  return rawHeaders.filter((_, at) => !isLeftOut(rawHeaders[at - (at % 2)] as string));
};

/** A lambda that saw it could pass for a load balancer. */
const isProof = (name: string): boolean =>
  name.length === PROXY_HEADER.length && name.toLowerCase() === PROXY_HEADER;

const isOurs = (name: string): boolean =>
  // Most names fail the first test: "x" or "X", then "-" in its place.
  (name.charCodeAt(0) | 32) === 120 &&
  name.charCodeAt(4) === 45 &&
  name.slice(0, HEADER_PREFIX.length).toLowerCase() === HEADER_PREFIX;

/** Whether a Prefer header (RFC 7240) asks for a reply before the work is done. */
export const asksAsync = (prefer: string | undefined): boolean =>
  prefer !== undefined && prefer.split(/[,;]/u).some((part) => part.trim().toLowerCase() === "respond-async");
