import { formatLoad, type LoadReport, type Logger, messageOf, proofOf } from "@ol/common";
import type { LambdaManager } from "@ol/lambda";
import type { SandboxPool } from "@ol/sandbox";
import express, { type Express, type NextFunction, type Request, type Response } from "express";

import { Metrics } from "./metrics.ts";
import type { RegistryStats } from "./registry-code-source.ts";
import { REPLY_HEADER, TEXT_TYPE } from "./reply-headers.ts";
import type { ClusterMembership } from "./worker.ts";

/** What the pages beside the lambdas show. */
export interface PagesOptions {
  readonly name: string;
  readonly engine: string;
  readonly version: string;
  readonly manager: LambdaManager;
  readonly pool: SandboxPool;
  /** What the worker reports. */
  readonly load: () => LoadReport;
  readonly registryStats?: () => RegistryStats;
  readonly membership?: ClusterMembership;
  readonly logger: Logger;
}

const sendText = (response: Response, status: number, text: string): void => {
  response.status(status).set(REPLY_HEADER.contentType, TEXT_TYPE).send(text);
};

const readOnly = (request: Request, response: Response, next: NextFunction): void => {
  if (request.method === "GET" || request.method === "HEAD") return next();
  response.set("Allow", "GET, HEAD");
  sendText(response, 405, "only GET\n");
};

/** `ready`, or 503 while the worker takes no new calls. */
const statusPage =
  ({ load: report }: PagesOptions) =>
  (_: Request, response: Response): void => {
    const load = report();
    response.set(REPLY_HEADER.load, formatLoad(load));
    if (load.draining) sendText(response.set(REPLY_HEADER.retryAfter, "1"), 503, "draining");
    else sendText(response, 200, "ready");
  };

/** Numbers of functions, sandboxes and memory. */
const statsPage =
  ({ name, engine, version, manager, pool, registryStats }: PagesOptions) =>
  async (_: Request, response: Response): Promise<void> => {
    const usedMb = Math.round(await pool.usedMb());
    const { engine: engineStats, ...memory } = pool.stats();
    response.json({
      name,
      version,
      engine,
      ...manager.stats(),
      registry: registryStats?.(),
      pool: { ...memory, usedMb },
      engineStats,
    });
  };

const EPOCH = /^[0-9]{1,15}$/u;

/** What a balancer wants to know; with `?since=EPOCH`, what has changed since then. */
const statePage =
  ({ name, manager, load }: PagesOptions) =>
  ({ query }: Request, response: Response): void => {
    const { since } = query;
    const known = typeof since === "string" && EPOCH.test(since) ? Number(since) : undefined;
    response.json({ v: 1, name, ...manager.reported(known), load: load() });
  };

const NONCE = /^[0-9a-f]{16,64}$/u;

/** Proves to who registers this worker that it knows the cluster's token, to nobody what that is. */
const proofPage =
  ({ membership }: PagesOptions) =>
  ({ query: { id, nonce } }: Request, response: Response, next: NextFunction): void => {
    if (membership === undefined) return next();
    if (typeof nonce !== "string" || !NONCE.test(nonce) || id !== membership.id())
      return sendText(response, 400, "this is not a question to this worker\n");
    sendText(response, 200, proofOf(membership.token, id, nonce));
  };

/** The process itself; for people who look for a fault. */
const debugPage =
  ({ name, engine, version, manager }: PagesOptions) =>
  (_: Request, response: Response): void => {
    const { rss, heapUsed, external } = process.memoryUsage();
    response.json({
      name,
      version,
      engine,
      node: process.version,
      uptimeSec: Math.round(process.uptime()),
      memory: { rss, heapUsed, external },
      load: manager.load(),
      functions: manager.stats().functions,
    });
  };

/** Everything that is not a lambda. express is good enough here: none of it is on the path of a call. */
export const pages = (options: PagesOptions): Express => {
  const metrics = new Metrics(options.manager, options.pool, options.registryStats);
  const app = express();
  app.disable("x-powered-by").disable("etag");
  app.use(["/status", "/stats", "/metrics", "/state", "/debug", "/_ol/proof"], readOnly);
  app.get("/status", statusPage(options));
  app.get("/stats", statsPage(options));
  app.get("/state", statePage(options));
  app.get("/debug", debugPage(options));
  app.get("/_ol/proof", proofPage(options));
  app.get("/metrics", async (_: Request, response: Response) => {
    response.set(REPLY_HEADER.contentType, metrics.contentType).send(await metrics.text());
  });
  app.use("/_ol", (_: Request, response: Response) => sendText(response, 404, "/_ol/ is reserved\n"));
  app.use((_: Request, response: Response) =>
    sendText(response, 404, "there is nothing here; lambdas are at /run/NAME\n"),
  );
  app.use((error: unknown, _: Request, response: Response, next: NextFunction) => {
    if (response.headersSent) return next(error);
    const { status } = error as { status?: unknown };
    // express' own complaints about a request, such as a path that cannot be decoded.
    if (typeof status === "number" && status >= 400 && status < 500)
      return sendText(response, status, "the request cannot be understood\n");
    options.logger.error("a page failed", { error: messageOf(error) });
    sendText(response, 500, "the worker failed to make this page\n");
  });
  return app;
};
