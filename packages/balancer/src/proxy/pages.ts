import type { IncomingMessage } from "node:http";

import { isOlError, type Logger, messageOf } from "@ol/common";
import express, { type Express, type NextFunction, type Request, type Response } from "express";

import type { Dispatcher } from "../dispatcher.ts";
import { balancerError } from "../errors.ts";
import type { ProxyCounters } from "./counters.ts";
import { TEXT_TYPE } from "./error-reply.ts";
import { Metrics } from "./metrics.ts";
import type { Registrar } from "./registrar.ts";

/** What the pages beside the lambdas show. */
export interface PagesOptions {
  readonly version: string;
  readonly dispatcher: Dispatcher;
  readonly host: {
    readonly counters: ProxyCounters;
    readonly open: ReadonlySet<unknown>;
    readonly draining: boolean;
    readonly keptBytes: number;
  };
  /** How many there are of clients. */
  readonly connections: () => number;
  readonly registrar?: Registrar;
  readonly logger: Logger;
}

/** More than any registration holds. */
const MAX_REGISTRATION_BYTES = 16 * 1024;
const REGISTRATION_MS = 10_000;

const sendText = (response: Response, status: number, text: string): void => {
  response.status(status).set("Content-Type", TEXT_TYPE).send(text);
};

const readOnly = (request: Request, response: Response, next: NextFunction): void => {
  if (request.method === "GET" || request.method === "HEAD") return next();
  response.set("Allow", "GET, HEAD");
  sendText(response, 405, "only GET\n");
};

/** `ready`, or 503 while the balancer takes no new calls. */
const statusPage =
  ({ host }: PagesOptions) =>
  (_: Request, response: Response): void => {
    if (host.draining) sendText(response.set("Retry-After", "1"), 503, "draining");
    else sendText(response, 200, "ready");
  };

/** Numbers of requests, workers and the queue. */
const statsPage =
  ({ version, host, dispatcher, connections }: PagesOptions) =>
  (_: Request, response: Response): void => {
    const { outcomes, failures, retries, droppedConnections } = host.counters;
    response.json({
      version,
      draining: host.draining,
      connections: connections(),
      droppedConnections,
      open: host.open.size,
      keptBytes: host.keptBytes,
      outcomes,
      failures,
      retries,
      dispatcher: dispatcher.snapshot(),
    });
  };

const bodyOf = async (request: IncomingMessage): Promise<Buffer> => {
  const timer = setTimeout(() => request.destroy(), REGISTRATION_MS);
  try {
    const parts: Buffer[] = [];
    let bytes = 0;
    for await (const part of request as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > MAX_REGISTRATION_BYTES)
        throw balancerError("OL_BALANCER_BAD_REQUEST", "a registration is not as large as that");
      parts.push(part);
    }
    return Buffer.concat(parts);
  } finally {
    clearTimeout(timer);
  }
};

const registrationPage =
  (registrar: Registrar) =>
  async (request: Request<{ id: string }>, response: Response): Promise<void> => {
    const { status, text } = await registrar.handle({
      method: request.method,
      path: request.originalUrl,
      id: request.originalUrl.slice("/_ol/workers/".length).split("?", 1)[0] ?? "",
      body: await bodyOf(request),
      header: (name) => request.get(name),
    });
    sendText(response, status, `${text}\n`);
  };

/** Everything that is no lambda. express is good enough here: none of it is on the path of a call. */
export const pages = (options: PagesOptions): Express => {
  const metrics = new Metrics(options);
  const app = express();
  app.disable("x-powered-by").disable("etag");
  app.use(["/status", "/stats", "/metrics"], readOnly);
  app.get("/status", statusPage(options));
  app.get("/stats", statsPage(options));
  app.get("/metrics", async (_: Request, response: Response) => {
    response.set("Content-Type", metrics.contentType).send(await metrics.text());
  });
  if (options.registrar !== undefined) app.all("/_ol/workers/:id", registrationPage(options.registrar));
  app.use("/_ol", (_: Request, response: Response) => sendText(response, 404, "/_ol/ is reserved\n"));
  app.use((_: Request, response: Response) =>
    sendText(response, 404, "there is nothing here; lambdas are at /run/NAME\n"),
  );
  app.use((error: unknown, _: Request, response: Response, next: NextFunction) => {
    if (response.headersSent) return next(error);
    if (isOlError(error) && error.causedBy === "user")
      return sendText(response, error.status, `${error.message}\n`);
    const { status } = error as { status?: unknown };
    // express' own complaints about a request, such as a path that cannot be decoded.
    if (typeof status === "number" && status >= 400 && status < 500)
      return sendText(response, status, "the request cannot be understood\n");
    options.logger.error("a page failed", { error: messageOf(error) });
    sendText(response, 500, "the balancer failed to make this page\n");
  });
  return app;
};
