import { HEADER, PROXY_HEADER, type ProxyProof } from "@ol/common";
import { request } from "undici";

/** What a worker answers to GET /status. */
export interface StatusAnswer {
  readonly status: number;
  /** Its X-OL-Load. */
  readonly load: string | undefined;
}

/** How workers are asked. Every question ends with the signal; any failure rejects. */
export interface Probe {
  /** GET /status. */
  status(url: URL, signal: AbortSignal): Promise<StatusAnswer>;
  /** GET /state, what has changed since that epoch or all of it: the JSON. */
  state(url: URL, since: number | undefined, signal: AbortSignal): Promise<unknown>;
  /** GET /_ol/proof: what proves that the worker knows the cluster's token. */
  proof(url: URL, id: string, nonce: string, signal: AbortSignal): Promise<string>;
}

/** More than a worker with 10,000 functions answers. */
const MOST_STATE_BYTES = 16 * 1024 * 1024;
const MOST_PROOF_BYTES = 1024;

/** Asks over HTTP, on connections of its own; for health and state with a proof that it is a balancer of the cluster, if there is one. */
export const httpProbe = (proof?: ProxyProof): Probe => ({
  status: async (url, signal) => {
    const { statusCode, headers, body } = await request(new URL("/status", url), {
      signal,
      headers: proofHeaders(proof),
    });
    await body.dump();
    const load = headers[HEADER.load];
    return { status: statusCode, load: typeof load === "string" ? load : undefined };
  },
  state: async (url, since, signal) => {
    const path = since === undefined ? "/state" : `/state?since=${since}`;
    const text = await textOf(new URL(path, url), MOST_STATE_BYTES, signal, proofHeaders(proof));
    return JSON.parse(text) as unknown;
  },
  proof: async (url, id, nonce, signal) => {
    const query = new URLSearchParams({ id, nonce });
    return (await textOf(new URL(`/_ol/proof?${query.toString()}`, url), MOST_PROOF_BYTES, signal)).trim();
  },
});

const proofHeaders = (proof: ProxyProof | undefined): Record<string, string> =>
  proof === undefined ? {} : { [PROXY_HEADER]: proof.text() };

const textOf = async (
  url: URL,
  mostBytes: number,
  signal: AbortSignal,
  headers: Record<string, string> = {},
): Promise<string> => {
  const { statusCode, body } = await request(url, { signal, headers });
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of body as AsyncIterable<Buffer>) {
    bytes += piece.length;
    // Leaving the loop ends the connection.
    if (bytes > mostBytes) throw new Error(`the answer has more than ${mostBytes} bytes`);
    pieces.push(piece);
  }
  if (statusCode !== 200) throw new Error(`the answer is ${statusCode}`);
  return Buffer.concat(pieces).toString("utf8");
};
