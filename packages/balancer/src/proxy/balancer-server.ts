import { createServer, type Server, type ServerOptions } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { Server as NetServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Server as TlsServer } from "node:tls";

import {
  clientErrorReply,
  Connections,
  HEADER,
  isOlError,
  isUlid,
  KEEP_ALIVE_MS,
  lambdaName,
  lastReply,
  listenAll,
  type ListenFaults,
  type Logger,
  originForm,
  parseDeadline,
  type ProxyProof,
  silentLogger,
  type TlsPair,
  TrustedPeers,
  UlidMaker,
} from "@ol/common";
import type { Express } from "express";

import type { Dispatcher } from "../dispatcher.ts";
import { balancerError } from "../errors.ts";
import { checkReference, checkFraming, plainAddress, wantsWebSocket } from "./admission.ts";
import { ProxyCounters } from "./counters.ts";
import { ProxyEngine } from "./engine.ts";
import { errorReply } from "./error-reply.ts";
import { ProxyExchange } from "./exchange.ts";
import type { ProxyHost } from "./host.ts";
import { DEFAULT_LIMITS, MAX_HEAD_BYTES, type ProxyLimits } from "./limits.ts";
import { ProxyRequest, ProxyResponse } from "./messages.ts";
import { pages } from "./pages.ts";
import type { Registrar } from "./registrar.ts";
import { ReplyWriter } from "./reply-writer.ts";
import { checkFields, workerFields } from "./request-fields.ts";
import { WorkerPools } from "./worker-pools.ts";

/** What a balancer is made from. */
export interface BalancerServerOptions {
  /** Stays its maker's, who closes it after the server. */
  readonly dispatcher: Dispatcher;
  readonly version: string;
  /** What to listen on; the first must be there, the others may be missing on this machine. */
  readonly addresses: readonly string[];
  /** 0 is any free port. */
  readonly port: number;
  /** PEM texts; without them plain HTTP is served. */
  readonly tls?: TlsPair;
  readonly limits?: Partial<ProxyLimits>;
  /** Addresses or networks whose X-OL-* and X-Forwarded-* request fields are believed. */
  readonly trustedProxies?: readonly string[];
  /** What workers know this balancer by; without it only by its address. */
  readonly proof?: ProxyProof;
  /** Takes registrations of workers, at /_ol/workers/ID. */
  readonly registrar?: Registrar;
  readonly logger?: Logger;
}

/** How often node:http looks for connections over their time. */
const HEADERS_CHECK_MS = 2_000;
/** How often it is looked for exchanges over theirs. */
const CHECK_MS = 250;
/** How often it is looked for connections to workers that are none any more. */
const TIDY_MS = 10_000;
const HANDSHAKE_MS = 10_000;

const LISTEN_FAULTS: ListenFaults = {
  portKey: "port",
  portInUse: (message, cause) => balancerError("OL_BALANCER_PORT_IN_USE", message, { cause }),
  cannotListen: (message, cause) => balancerError("OL_BALANCER_CANNOT_LISTEN", message, { cause }),
};

const badOption = (message: string): Error => balancerError("OL_BALANCER_BAD_OPTION", message);
const badRequest = (message: string): Error => balancerError("OL_BALANCER_BAD_REQUEST", message);

type ProxyServer = Server<typeof ProxyRequest, typeof ProxyResponse>;

/** The HTTP in front of the workers: lambdas' requests go to them, everything else is answered here. */
export class BalancerServer implements ProxyHost, AsyncDisposable {
  readonly dispatcher: Dispatcher;
  readonly logger: Logger;
  readonly limits: ProxyLimits;
  readonly engine: ProxyEngine = new ProxyEngine();
  readonly pools: WorkerPools;
  readonly counters: ProxyCounters = new ProxyCounters();
  readonly open: Set<ProxyExchange> = new Set();
  readonly proof: ProxyProof | undefined;
  keptBytes = 0;
  nowMs: number = performance.now();
  /** The port listened on. */
  port = 0;
  readonly #options: BalancerServerOptions;
  readonly #pages: Express;
  readonly #trusted: TrustedPeers;
  readonly #ulids = new UlidMaker();
  readonly #connections = new Connections("this balancer is shutting down; it takes no new calls");
  /** All that were accepted, also those whose TLS handshake is not over. */
  readonly #sockets = new Set<Socket>();
  /** Connections on which a page, which is no exchange, is being answered. */
  readonly #pageSockets = new Set<Socket>();
  readonly #timer: NodeJS.Timeout;
  #tidiedMs = 0;
  #servers: readonly ProxyServer[] = [];
  #state: "running" | "draining" | "closed" = "running";
  #closing: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  /** Listens. Fails with OL_BALANCER_PORT_IN_USE, OL_BALANCER_CANNOT_LISTEN or OL_BALANCER_BAD_OPTION. */
  static async start(options: BalancerServerOptions): Promise<BalancerServer> {
    const balancer = new BalancerServer(options);
    try {
      const { addresses, port } = options;
      const { logger } = balancer;
      const listening = await listenAll(() => balancer.#makeServer(), {
        addresses,
        port,
        logger,
        faults: LISTEN_FAULTS,
      });
      balancer.#servers = listening.servers;
      balancer.port = listening.port;
      return balancer;
    } catch (error) {
      clearInterval(balancer.#timer);
      throw error;
    }
  }

  private constructor(options: BalancerServerOptions) {
    this.#options = options;
    this.dispatcher = options.dispatcher;
    this.proof = options.proof;
    this.logger = options.logger ?? silentLogger;
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#trusted = new TrustedPeers(options.trustedProxies ?? [], badOption);
    this.pools = new WorkerPools(this.limits.connectMs);
    const connections = (): number => this.#sockets.size;
    this.#pages = pages({ ...options, host: this, connections, logger: this.logger });
    this.#timer = setInterval(() => this.#look(), CHECK_MS).unref();
  }

  /** Where it is reached, by its first address. */
  get url(): string {
    const [address = ""] = this.#options.addresses;
    const scheme = this.#options.tls === undefined ? "http" : "https";
    return `${scheme}://${address.includes(":") ? `[${address}]` : address}:${this.port}`;
  }

  /** Shows this certificate on new connections from now on. Fails as node:tls does if it cannot be used; only for one that was started with `tls`. */
  useTls(pair: TlsPair): void {
    for (const server of this.#servers) (server as unknown as TlsServer).setSecureContext({ ...pair });
  }

  get maxKeptBytes(): number {
    return this.limits.maxKeptBytes;
  }

  /** True once it takes no new calls. */
  get draining(): boolean {
    return this.#state !== "running";
  }

  /**
   * Takes no new calls, which are told so (503, not started), and lets those it has end, for as long as `limits.drainMs`; then
   * says so on every connection that is left, and listens no more. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Ends every connection now. Idempotent. */
  destroy(): void {
    this.#state = "closed";
    clearInterval(this.#timer);
    this.#drained?.();
    for (const server of this.#servers) NetServer.prototype.close.call(server);
    for (const socket of this.#sockets) socket.destroy();
    // Nobody waits for it: sockets to workers are being ended.
    void this.pools.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    if (this.#state === "running") this.#state = "draining";
    this.dispatcher.drain();
    for (const exchange of this.open) exchange.refuseUnread();
    await this.#callsEnded();
    if (this.open.size > 0)
      this.logger.warn("calls are cut short: they ran over the time to drain", { calls: this.open.size });
    await this.#connections.leave(this.#servers, () => this.#busySockets());
    this.destroy();
  }

  #callsEnded(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(), this.limits.drainMs);
      this.#drained = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#look();
    });
  }

  #look(): void {
    this.nowMs = performance.now();
    for (const exchange of this.open) exchange.check();
    if (this.nowMs - this.#tidiedMs > TIDY_MS) this.#tidyPools();
    if (this.#drained !== undefined && this.open.size === 0) this.#drained();
  }

  #tidyPools(): void {
    this.#tidiedMs = this.nowMs;
    this.pools.keepOnly(new Set(this.dispatcher.snapshot().workers.map(({ url }) => new URL(url).origin)));
  }

  #busySockets(): ReadonlySet<Socket> {
    const busy = new Set(this.#pageSockets);
    for (const { socket } of this.open) busy.add(socket);
    return busy;
  }

  #makeServer(): ProxyServer {
    const { tls } = this.#options;
    const options: ServerOptions<typeof ProxyRequest, typeof ProxyResponse> = {
      IncomingMessage: ProxyRequest,
      ServerResponse: ProxyResponse,
      maxHeaderSize: MAX_HEAD_BYTES,
      headersTimeout: this.limits.headersMs,
      // Of a whole request. Bodies may take their time as long as they come: see ProxyExchange.check.
      requestTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: HEADERS_CHECK_MS,
      noDelay: true,
    };
    const server: ProxyServer =
      tls === undefined
        ? createServer(options)
        : createTlsServer({
            ...options,
            ...tls,
            handshakeTimeout: HANDSHAKE_MS,
            ALPNProtocols: ["http/1.1"],
          });
    server.on("connection", (socket: Socket) => this.#accepted(socket));
    this.#connections.watch(server, tls === undefined ? "connection" : "secureConnection");
    server.on("request", (request, response) => this.#request(request, response, false));
    server.on("checkContinue", (request, response) => this.#request(request, response, true));
    server.on("clientError", (error, socket) => this.#clientError(error, socket));
    server.on("connect", (_, socket) =>
      socket.end(lastReply("501 Not Implemented", "this is no proxy for CONNECT")),
    );
    return server;
  }

  #accepted(socket: Socket): void {
    if (this.#sockets.size >= this.limits.maxConnections) {
      this.counters.droppedConnections += 1;
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
  }

  #request(request: ProxyRequest, response: ProxyResponse, expectsContinue: boolean): void {
    if (this.#connections.isLeaving(request.socket)) {
      // It crossed our goodbye, which is its answer. Read on, to the end of the connection.
      request.resume();
      return;
    }
    try {
      const path = originForm(request.url ?? "", request.headers.host, badRequest);
      const name = lambdaName(path);
      if (name !== undefined) return this.#run(name, path, request, response, expectsContinue);
      checkFields(request.rawHeaders);
      if (expectsContinue) response.writeContinue();
      request.url = path;
      if (this.draining) response.shouldKeepAlive = false;
      this.#answering(request, response);
      this.#pages(request, response);
    } catch (error) {
      this.#refuse(request, response, error, expectsContinue);
    }
  }

  #run(
    name: string,
    target: string,
    request: ProxyRequest,
    response: ProxyResponse,
    expectsContinue: boolean,
  ): void {
    const { headers, socket } = request;
    const trusted = this.#trusted.some && this.#trusted.has(socket.remoteAddress);
    const given = trusted ? headers[HEADER.invocationId] : undefined;
    const invocationId = typeof given === "string" && isUlid(given) ? given : this.#ulids.next();
    const client = plainAddress(socket.remoteAddress);
    const scheme = this.#options.tls === undefined ? "http" : "https";
    const sender = { client, trusted, scheme, invocationId } as const;
    checkFraming(request);
    const exchange = new ProxyExchange(this, request, response, {
      name,
      target,
      invocationId,
      fields: workerFields(request.rawHeaders, headers.connection, sender),
      client,
      deadlineMs: trusted ? parseDeadline(headers[HEADER.deadlineMs]) : undefined,
      expectsContinue,
    });
    const refusal = checkReference(name) ?? wantsWebSocket(headers);
    if (refusal === undefined) exchange.run();
    else exchange.fail(refusal);
  }

  #answering({ socket }: ProxyRequest, response: ProxyResponse): void {
    this.#pageSockets.add(socket);
    response.once("close", () => this.#pageSockets.delete(socket));
  }

  /** Answers a request that is not to be trusted in any part, and ends its connection. */
  #refuse(request: ProxyRequest, response: ProxyResponse, error: unknown, expectsContinue: boolean): void {
    if (!isOlError(error)) throw error;
    this.#answering(request, response);
    new ReplyWriter(request, response).answer(errorReply(error, false), true, expectsContinue);
  }

  /** What node:http itself could not read. */
  #clientError(error: NodeJS.ErrnoException, socket: Duplex): void {
    // What comes behind a request that asked for the connection's end is not to be read (RFC 9112, 9.6).
    if (error.code === "HPE_CLOSED_CONNECTION") return;
    const reply = clientErrorReply(error.code);
    if (reply === undefined || !socket.writable) {
      socket.destroy();
      return;
    }
    // In the middle of a reply another one would be taken for part of it.
    if (this.#pageSockets.has(socket as Socket)) return;
    let asked = false;
    for (const exchange of this.open)
      if (exchange.socket === socket) {
        exchange.malformed();
        asked = true;
      }
    if (!asked) socket.end(reply, () => socket.destroy());
  }
}
