import { createServer, type Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";

import {
  adopt,
  clientErrorReply,
  Connections,
  formatLoad,
  HEADER,
  isOlError,
  isUlid,
  KEEP_ALIVE_MS,
  lambdaName,
  listenAll,
  type ListenFaults,
  type LoadReport,
  type Logger,
  originForm,
  parseDeadline,
  silentLogger,
  UlidMaker,
} from "@ol/common";
import type { LambdaManager } from "@ol/lambda";
import type { SandboxPool } from "@ol/sandbox";
import type { Express } from "express";

import { errorReply } from "./error-reply.ts";
import { workerError } from "./errors.ts";
import { Exchange, type ExchangeHost, WorkerRequest, WorkerResponse } from "./exchange.ts";
import { HttpTarget } from "./http-target.ts";
import { OpenExchanges } from "./open-exchanges.ts";
import { pages } from "./pages.ts";
import type { RegistryStats } from "./registry-code-source.ts";
import { TEXT_TYPE } from "./reply-headers.ts";
import { asksAsync, checkedHeaders } from "./request-headers.ts";
import { isTraceparent, TraceparentMaker } from "./traceparent.ts";
import { TrustedProxies } from "./trusted-proxies.ts";

/** What a worker is made from. The manager and pool stay their maker's, who closes them after the worker. */
export interface WorkerOptions {
  readonly name: string;
  readonly version: string;
  /** The sandbox engine's name, to be shown. */
  readonly engine: string;
  readonly manager: LambdaManager;
  readonly pool: SandboxPool;
  /** What to listen on; the first must be there, the others may be missing on this machine. */
  readonly addresses: readonly string[];
  /** 0 is any free port. */
  readonly port: number;
  /** Sockets that listen already, on some of the addresses and the port; descriptors, which are the worker's from now on. */
  readonly inheritedFds?: readonly number[];
  /** Addresses or networks whose X-OL-* request headers are believed. */
  readonly trustedProxies?: readonly string[];
  /** The cluster's token: load balancers that prove that they know it are believed likewise. */
  readonly token?: string;
  /** Memory that request bodies may take together. Default 256 MiB. */
  readonly maxHeldBytes?: number;
  /** What is counted of a code source that is a registry; absent: there is none. */
  readonly registryStats?: () => RegistryStats;
  /** For proving to a balancer that this worker is of its cluster. */
  readonly membership?: ClusterMembership;
  readonly logger?: Logger;
}

/** Who this worker is for the balancers of its cluster. */
export interface ClusterMembership {
  /** The cluster's token. */
  readonly token: string;
  /** What it registers as; asked for when the port is known. */
  id(): string;
}

/** A client that is slower than this with its header is not served (Slowloris). */
const HEADERS_TIMEOUT_MS = 10_000;
/** How often node:http looks for connections over their time. */
const CHECK_MS = 2_000;
const DEFAULT_HELD_BYTES = 256 * 1024 * 1024;
/** Beyond what calls may take: for their replies to get out. */
const DRAIN_MARGIN_MS = 5_000;

const LISTEN_FAULTS: ListenFaults = {
  portKey: "worker_port",
  portInUse: (message, cause) => workerError("OL_WORKER_PORT_IN_USE", message, { cause }),
  cannotListen: (message, cause) => workerError("OL_WORKER_CANNOT_LISTEN", message, { cause }),
};

const badRequest = (message: string): Error => workerError("OL_WORKER_BAD_REQUEST", message);

type WorkerServer = Server<typeof WorkerRequest, typeof WorkerResponse>;

/** The HTTP in front of @ol/lambda. */
export class Worker implements ExchangeHost, AsyncDisposable {
  readonly manager: LambdaManager;
  readonly logger: Logger;
  readonly open: OpenExchanges = new OpenExchanges();
  readonly maxHeldBytes: number;
  heldBytes = 0;
  /** The port listened on. */
  port = 0;
  readonly #pages: Express;
  readonly #proxies: TrustedProxies;
  readonly #ulids = new UlidMaker();
  readonly #traceparents = new TraceparentMaker();
  readonly #connections = new Connections("this worker is shutting down; it takes no new calls");
  /** Connections on which a page, which is no exchange, is being answered. */
  readonly #pageSockets = new Set<Socket>();
  #servers: readonly WorkerServer[] = [];
  /** leaving: says that it takes no new calls, and still does · draining: does not · closed. */
  #state: "running" | "leaving" | "draining" | "closed" = "running";
  #draining: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  /** Listens. Fails with OL_WORKER_PORT_IN_USE, OL_WORKER_CANNOT_LISTEN or OL_WORKER_BAD_OPTIONS. */
  static async start(options: WorkerOptions): Promise<Worker> {
    const worker = new Worker(options);
    const { addresses, port, inheritedFds = [] } = options;
    const make = (): WorkerServer => worker.#makeServer();
    const where = { addresses, port, faults: LISTEN_FAULTS };
    const inherited = await adopt(make, inheritedFds, where);
    const listening = await listenAll(make, { ...where, logger: worker.logger, inherited });
    worker.#servers = listening.servers;
    worker.port = listening.port;
    return worker;
  }

  private constructor(options: WorkerOptions) {
    this.manager = options.manager;
    this.logger = options.logger ?? silentLogger;
    this.maxHeldBytes = options.maxHeldBytes ?? DEFAULT_HELD_BYTES;
    this.#proxies = new TrustedProxies(options);
    this.#pages = pages({ ...options, load: () => this.load(), logger: this.logger });
  }

  /**
   * The descriptors of the sockets that it listens on, for a successor to have as well; it goes on listening on them itself.
   * From an inner field of Node's: the handle of a server has shown it on every Unix since Node 0.10.
   */
  listeningFds(): readonly number[] {
    return this.#servers.flatMap((server) => {
      const { fd } = (server as unknown as { _handle?: { fd?: number } })._handle ?? {};
      return fd === undefined || fd < 0 ? [] : [fd];
    });
  }

  /** What it reports; one that leaves says that it drains before it does. */
  load(): LoadReport {
    const load = this.manager.load();
    return this.#state === "leaving" ? { ...load, draining: true } : load;
  }

  loadText(): string {
    return formatLoad(this.load());
  }

  warmText(): string {
    return this.manager.changes.text;
  }

  /** True once it takes no new calls. */
  get draining(): boolean {
    return this.#state === "draining" || this.#state === "closed";
  }

  /**
   * Says with every answer that it drains, and takes calls all the same until the load balancers that there are know: those that show
   * a proof within a second or two, others that are trusted after 7 s. At once if there are none. To be followed by `drain`.
   */
  async leave(): Promise<void> {
    if (this.#state !== "running") return;
    this.#state = "leaving";
    await this.#proxies.audience.hasHeard();
  }

  /**
   * Takes no new calls and lets those it has finish, for as long as they may run. It goes on to listen, so that callers
   * are told (503, not started), and ends each connection with the reply. Idempotent.
   */
  drain(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  /**
   * Drains; then says so on every connection that is left, and listens no more. No request is lost by that if a successor has
   * the listening sockets; else the kernel resets what it has accepted in that moment. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Ends every connection now. */
  destroy(): void {
    this.#state = "closed";
    this.open.close();
    for (const server of this.#servers) {
      server.close();
      server.closeAllConnections();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #drain(): Promise<void> {
    if (!this.draining) this.#state = "draining";
    const bound = AbortSignal.timeout(this.manager.longestMs + DRAIN_MARGIN_MS);
    await this.manager.drain(bound);
    if (this.manager.load().busy > 0) this.logger.warn("calls are cut short: they ran over their time");
  }

  async #close(): Promise<void> {
    await this.drain();
    for (const exchange of this.open) exchange.refuseUnread();
    await this.#connections.leave(this.#servers, () => this.#busySockets());
    this.open.close();
    this.#state = "closed";
  }

  #busySockets(): ReadonlySet<Socket> {
    const busy = new Set(this.#pageSockets);
    for (const { socket } of this.open) busy.add(socket);
    return busy;
  }

  #makeServer(): WorkerServer {
    const server = createServer<typeof WorkerRequest, typeof WorkerResponse>({
      IncomingMessage: WorkerRequest,
      ServerResponse: WorkerResponse,
      headersTimeout: HEADERS_TIMEOUT_MS,
      // Of a whole request. Bodies may take their time as long as they come: see BodyWatch.
      requestTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: CHECK_MS,
      noDelay: true,
    });
    this.#connections.watch(server);
    server.on("request", (request, response) => this.#request(request, response, false));
    server.on("checkContinue", (request, response) => this.#request(request, response, true));
    server.on("clientError", (error, socket) => this.#clientError(error, socket));
    return server;
  }

  #request(request: WorkerRequest, response: WorkerResponse, expectsContinue: boolean): void {
    if (this.#connections.isLeaving(request.socket)) {
      // It crossed our goodbye, which is its answer. Read on, to the end of the connection.
      request.resume();
      return;
    }
    try {
      const path = originForm(request.url ?? "", request.headers.host, badRequest);
      const name = lambdaName(path);
      if (name !== undefined) return this.#run(name, path, request, response, expectsContinue);
      checkedHeaders(request.rawHeaders, true);
      if (expectsContinue) response.writeContinue();
      this.#proxies.has(request, true);
      request.url = path;
      if (this.draining) response.setHeader("Connection", "close");
      this.#pageSockets.add(request.socket);
      response.once("close", () => this.#pageSockets.delete(request.socket));
      this.#pages(request, response);
    } catch (error) {
      this.#refuse(response, error);
    }
  }

  #run(
    name: string,
    target: string,
    request: WorkerRequest,
    response: WorkerResponse,
    expectsContinue: boolean,
  ): void {
    const { headers } = request;
    const trusted = this.#proxies.has(request, false);
    const rawHeaders = checkedHeaders(request.rawHeaders, trusted);
    const traceparent = headers["traceparent"];
    const given = trusted ? headers[HEADER.invocationId] : undefined;
    const exchange = new Exchange(this, request, response, {
      name,
      invocationId: typeof given === "string" && isUlid(given) ? given : this.#ulids.next(),
      traceparent:
        typeof traceparent === "string" && isTraceparent(traceparent)
          ? traceparent
          : this.#traceparents.next(),
      rawHeaders,
      http: new HttpTarget(request, target),
      trusted,
      waitMs: trusted ? parseDeadline(headers[HEADER.deadlineMs]) : undefined,
      expectsContinue,
    });
    if (asksAsync(headers["prefer"] as string | undefined))
      exchange.fail(
        workerError("OL_WORKER_NO_ASYNC", "Prefer: respond-async is not supported yet; leave it out"),
      );
    else exchange.run();
  }

  /** Answers a request that is not to be trusted in any part, and ends its connection. */
  #refuse(response: WorkerResponse, error: unknown): void {
    if (!isOlError(error)) throw error;
    const { status, message } = errorReply(error, false);
    response.writeHead(status, { "Content-Type": TEXT_TYPE, Connection: "close" });
    response.end(`${message}\n`);
  }

  /** What node:http itself could not read. */
  #clientError(error: NodeJS.ErrnoException, socket: Duplex): void {
    // What comes behind a request that asked for the connection's end is not to be read (RFC 9112, 9.6).
    if (error.code === "HPE_CLOSED_CONNECTION") return;
    // In the middle of a reply another one would be taken for part of it.
    const busy = [...this.open].some((exchange) => exchange.socket === socket);
    const reply = clientErrorReply(error.code);
    if (reply === undefined || !socket.writable || busy) {
      socket.destroy();
      return;
    }
    socket.end(reply, () => socket.destroy());
  }
}
