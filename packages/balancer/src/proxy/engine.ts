import httpProxy from "http-proxy";

import type { ProxyRequest, ProxyResponse } from "./messages.ts";

/** A pass of http-proxy; true ends the list. */
type Pass = (request: ProxyRequest, response: ProxyResponse) => boolean;

/** What @types/http-proxy leaves out. */
interface Passes {
  webPasses: Pass[];
  before(type: "web", name: string, pass: Pass): void;
}

/** Hands the request to the worker that its exchange has a lease of. */
const toWorker: Pass = (request) => {
  request.exchange?.send();
  return true;
};

/** http-proxy wants one; which worker a request goes to is its exchange's business. */
const NOWHERE = { host: "", port: 0 };

/**
 * http-proxy with one pass of ours in place of its own. All of those are left out: `deleteLength` forwards a chunked DELETE with
 * Content-Length 0 and its body behind it, as a request of its own; `XHeaders` believes every client's
 * X-Forwarded-For; `stream` leaves workers running whose clients are gone, and clients waiting whose workers are, collapses
 * `//` in paths and passes hop-by-hop fields on; `timeout` is of connections, not of requests. With neither of them called,
 * nothing deprecated is either.
 */
export class ProxyEngine {
  readonly #proxy: ReturnType<typeof httpProxy.createProxyServer>;

  constructor() {
    this.#proxy = httpProxy.createProxyServer({ target: NOWHERE });
    const passes = this.#proxy as unknown as Passes;
    passes.before("web", "stream", toWorker);
    passes.webPasses = passes.webPasses.filter((pass) => pass === toWorker);
  }

  /** Runs the passes. */
  web(request: ProxyRequest, response: ProxyResponse): void {
    this.#proxy.web(request, response);
  }
}
