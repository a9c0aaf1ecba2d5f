import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { isIP } from "node:net";

import { balancerError } from "../errors.ts";

/** NAME, NAME@TAG or NAME@sha256:<64 hex>. What a worker would refuse is not worth its time. */
const REFERENCE = /^(?![.-])[A-Za-z0-9._-]{1,128}(?<!\.tar\.gz)(?:@[A-Za-z0-9._:-]{1,128})?$/u;

/** Why this is no lambda's name; undefined if it may be one. */
export const checkReference = (name: string): Error | undefined =>
  REFERENCE.test(name)
    ? undefined
    : balancerError("OL_BALANCER_BAD_REQUEST", `${JSON.stringify(name.slice(0, 200))} is no lambda's name`);

/** Other protocols that are offered may be passed over (RFC 9110, 7.8); who asks for a WebSocket has no use for less. */
export const wantsWebSocket = ({ upgrade }: IncomingHttpHeaders): Error | undefined =>
  upgrade !== undefined && /(?:^|,)\s*websocket\s*(?:,|$)/iu.test(upgrade)
    ? balancerError("OL_BALANCER_NO_UPGRADE", "workers serve no WebSockets")
    : undefined;

/**
 * Fails if it is not beyond doubt where the request ends, or what its coding is: node:http reads more than a worker is to be
 * told.
 * Fails with OL_BALANCER_BAD_REQUEST or OL_BALANCER_NO_ENCODING.
 */
export const checkFraming = ({ headers, httpVersion }: IncomingMessage): void => {
  const { "transfer-encoding": coding } = headers;
  // node:http takes "GET /path" for HTTP/0.9, and HTTP/2.0 for what it is not.
  if (httpVersion !== "1.1" && httpVersion !== "1.0")
    throw balancerError("OL_BALANCER_BAD_REQUEST", "this server speaks HTTP/1.1");
  if (coding === undefined) return;
  // RFC 9112, 6.1: whoever sent it knows less of HTTP than it says.
  if (httpVersion === "1.0")
    throw balancerError("OL_BALANCER_BAD_REQUEST", "HTTP/1.0 knows no Transfer-Encoding");
  if (coding.trim().toLowerCase() !== "chunked")
    throw balancerError("OL_BALANCER_NO_ENCODING", "only the transfer coding chunked is understood");
};

/** An IPv4 address as such, also on a socket that listens on IPv6. */
export const plainAddress = (address: string | undefined): string => {
  if (address === undefined) return "";
  return address.startsWith("::ffff:") && isIP(address.slice(7)) === 4 ? address.slice(7) : address;
};
