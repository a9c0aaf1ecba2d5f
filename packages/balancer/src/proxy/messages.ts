import { IncomingMessage, ServerResponse } from "node:http";

import type { ProxyExchange } from "./exchange.ts";

/** node:http's request, with the exchange it belongs to: saves closures, or a map, a request. */
export class ProxyRequest extends IncomingMessage {
  exchange: ProxyExchange | undefined;
}

/** node:http's response, likewise. */
export class ProxyResponse extends ServerResponse<ProxyRequest> {
  exchange: ProxyExchange | undefined;
}
