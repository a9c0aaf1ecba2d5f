import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import httpProxy from "http-proxy";

/** http-proxy as it comes, in front of one worker: what the balancer's remedies are held against. */
export interface PlainProxy extends AsyncDisposable {
  readonly port: number;
}

export const startPlainHttpProxy = async (
  workerUrl: string,
  options: httpProxy.ServerOptions = {},
): Promise<PlainProxy> => {
  const proxy = httpProxy.createProxyServer({ target: workerUrl, ...options });
  proxy.on("error", () => undefined);
  const server = createServer((request, response) => proxy.web(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
};
