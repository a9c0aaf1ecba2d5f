import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Server as TlsServer } from "node:tls";

import {
  KEEP_ALIVE_MS,
  listenAll,
  type ListenFaults,
  type Logger,
  messageOf,
  silentLogger,
  type TlsPair,
} from "@ol/common";

import { registryError } from "./errors.ts";
import { Metrics, type RequestStats } from "./metrics.ts";
import { OpenConnections } from "./open-connections.ts";
import { Pages, type PagesFor } from "./pages.ts";
import { Authenticator, type KeyPair } from "./protocol/authenticator.ts";
import { errorDocument, sendError } from "./protocol/error-reply.ts";
import { Exchange, type ExchangeHost, type ProtocolLimits } from "./protocol/exchange.ts";
import { route } from "./protocol/operations/router.ts";
import { checkPermission } from "./protocol/permissions.ts";
import { isS3Error, s3Error, type S3Error } from "./s3-error.ts";
import { Scrubbing, type ScrubState } from "./scrubbing.ts";
import type { ObjectStore, StoreStats } from "./store/store.ts";

/** What a registry is made from. The store stays its maker's, who closes it after the server. */
export interface RegistryServerOptions {
  readonly store: ObjectStore;
  readonly keys: readonly KeyPair[];
  /** What to listen on; the first must be there, the others may be missing on this machine. */
  readonly addresses: readonly string[];
  /** 0 is any free port. */
  readonly port: number;
  /** What clients have to sign for. Default us-east-1, which is every client's default. */
  readonly region?: string;
  /** In PEM. Without it, HTTP. */
  readonly tls?: TlsPair;
  readonly limits?: Partial<ProtocolLimits>;
  /** Who sees /metrics and /stats. Default loopback. */
  readonly pagesFor?: PagesFor;
  /** How often everything is read again. Default 0: never. */
  readonly scrubEveryMs?: number;
  readonly logger?: Logger;
}

/** A snapshot, without the name of anything. */
export interface RegistryStats {
  readonly requests: RequestStats;
  readonly store: StoreStats;
  readonly scrub: ScrubState;
}

/** S3's largest object of one request. */
const MOST_OBJECT_BYTES = 5 * 1024 ** 3;
const DEFAULT_IDLE_MS = 60_000;
/** A client that is slower than this with its header is not served (Slowloris). */
const HEADERS_TIMEOUT_MS = 10_000;
/** Of a whole request: 5 GiB at 1.5 MB/s. Who sends a byte now and then does not hold a connection for ever. */
const REQUEST_TIMEOUT_MS = 3_600_000;
/** A presigned URL of a key of 1,024 bytes, each of them encoded, with the parameters. */
const MOST_HEADER_BYTES = 32 * 1024;
/** How often node:http looks for connections over their time. */
const CHECK_MS = 2_000;
/** How long requests may take to finish once the server closes. */
const DRAIN_MS = 30_000;
const MIN_TLS = "TLSv1.2";
const LEAST_ACCESS_KEY = 3;
const LEAST_SECRET_KEY = 8;

const LISTEN_FAULTS: ListenFaults = {
  portKey: "registry_port",
  portInUse: (message, cause) => registryError("OL_REGISTRY_PORT_IN_USE", message, { cause }),
  cannotListen: (message, cause) => registryError("OL_REGISTRY_CANNOT_LISTEN", message, { cause }),
};

/** An S3 server over an ObjectStore. */
export class RegistryServer implements ExchangeHost, AsyncDisposable {
  readonly store: ObjectStore;
  readonly region: string;
  readonly limits: ProtocolLimits;
  /** The port listened on. */
  port = 0;
  readonly #logger: Logger;
  readonly #authenticator: Authenticator;
  readonly #metrics: Metrics;
  readonly #pages: Pages;
  readonly #scrubbing: Scrubbing;
  readonly #tls: RegistryServerOptions["tls"];
  readonly #open = new Set<ServerResponse>();
  readonly #connections = new OpenConnections();
  #servers: readonly Server[] = [];
  #state: "running" | "draining" | "closed" = "running";
  #closing: Promise<void> | undefined;

  /** Listens. Fails with OL_REGISTRY_PORT_IN_USE, OL_REGISTRY_CANNOT_LISTEN or OL_REGISTRY_BAD_OPTION. */
  static async start(options: RegistryServerOptions): Promise<RegistryServer> {
    checkKeys(options.keys);
    const server = new RegistryServer(options);
    const { addresses, port } = options;
    try {
      const listening = await listenAll(() => server.#makeServer(), {
        addresses,
        port,
        logger: server.#logger,
        faults: LISTEN_FAULTS,
      });
      server.#servers = listening.servers;
      server.port = listening.port;
    } catch (error) {
      await server.#scrubbing[Symbol.asyncDispose]();
      throw error;
    }
    return server;
  }

  private constructor(options: RegistryServerOptions) {
    const {
      store,
      keys,
      region = "us-east-1",
      limits,
      tls,
      pagesFor = "loopback",
      scrubEveryMs = 0,
    } = options;
    this.store = store;
    this.region = region;
    this.limits = { maxObjectBytes: MOST_OBJECT_BYTES, idleMs: DEFAULT_IDLE_MS, ...limits };
    this.#tls = tls;
    this.#logger = options.logger ?? silentLogger;
    this.#authenticator = new Authenticator(keys, region);
    this.#scrubbing = new Scrubbing(store, scrubEveryMs, this.#logger);
    this.#metrics = new Metrics(store, () => this.#scrubbing.state);
    this.#pages = new Pages(
      this.#metrics,
      () => this.stats(),
      () => this.#state !== "running",
      pagesFor,
    );
  }

  /** Shows this certificate on new connections from now on. Fails as node:tls does if it cannot be used; only for one that was started with `tls`. */
  useTls(pair: TlsPair): void {
    for (const server of this.#servers)
      (server as unknown as TlsServer).setSecureContext({ ...pair, minVersion: MIN_TLS });
  }

  stats(): RegistryStats {
    return { requests: this.#metrics.stats, store: this.store.stats(), scrub: this.#scrubbing.state };
  }

  /** Takes no new connections, lets the requests that it has finish for up to 30 s, and ends. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Ends every connection now. */
  destroy(): void {
    this.#state = "closed";
    for (const server of this.#servers) {
      server.close();
      server.closeAllConnections();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#state = "draining";
    await this.#scrubbing[Symbol.asyncDispose]();
    const closed = this.#servers.map(
      (server) => new Promise<void>((resolve) => void server.close(() => resolve())),
    );
    const busy = new Set<Socket>();
    for (const response of this.#open) {
      // Its connection ends with the reply.
      response.shouldKeepAlive = false;
      if (response.socket !== null) busy.add(response.socket);
    }
    this.#connections.endOthers(busy);
    const cut = setTimeout(() => {
      this.#logger.warn("requests are cut short: they took too long to finish", {
        requests: this.#open.size,
      });
      for (const server of this.#servers) server.closeAllConnections();
    }, DRAIN_MS);
    await Promise.all(closed);
    clearTimeout(cut);
    this.#state = "closed";
  }

  #makeServer(): Server {
    const options = {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: CHECK_MS,
      maxHeaderSize: MOST_HEADER_BYTES,
      noDelay: true,
    };
    const tls = this.#tls;
    const server = tls === undefined ? createServer(options) : this.#makeTlsServer(options, tls);
    this.#connections.watch(server);
    server.on("request", (request, response) => void this.#serve(request, response, false));
    server.on("checkContinue", (request, response) => void this.#serve(request, response, true));
    server.on("clientError", (error, socket) => this.#clientError(error, socket));
    return server;
  }

  #makeTlsServer(options: object, { cert, key }: TlsPair): Server {
    try {
      return createTlsServer({
        ...options,
        cert,
        key,
        minVersion: MIN_TLS,
        handshakeTimeout: HEADERS_TIMEOUT_MS,
      });
    } catch (error) {
      // OpenSSL's words about a file that it cannot read hold nothing of the file.
      throw registryError(
        "OL_REGISTRY_BAD_OPTION",
        `the certificate and its key cannot be used: ${messageOf(error)}`,
        {
          cause: error,
        },
      );
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): Promise<void> {
    const begunMs = performance.now();
    const exchange = new Exchange(this, request, response, expectsContinue);
    const outcome: { operation: string; error?: string } = { operation: "Unknown" };
    this.#metrics.begun();
    this.#open.add(response);
    if (this.#state !== "running") response.shouldKeepAlive = false;
    response.once("close", () => {
      this.#open.delete(response);
      // A reply that had begun before has promised that more may come on its connection.
      if (this.#state !== "running") request.socket.destroySoon();
      const { receivedBytes, sentBytes } = exchange;
      const ms = performance.now() - begunMs;
      this.#metrics.ended({
        ...outcome,
        status: response.statusCode,
        receivedBytes,
        sentBytes,
        seconds: ms / 1000,
      });
      this.#logger.debug("request", {
        ...outcome,
        status: response.statusCode,
        id: exchange.id,
        ms: Math.round(ms),
      });
    });
    try {
      await this.#answer(exchange, outcome);
    } catch (error) {
      const failure = this.#failure(error, exchange, outcome.operation);
      outcome.error = failure.code;
      sendError(exchange, failure);
    }
  }

  async #answer(exchange: Exchange, outcome: { operation: string }): Promise<void> {
    const { method, target, fields } = exchange;
    if (Pages.has(method, target.path) && Authenticator.isAnonymous(exchange)) {
      outcome.operation = "Page";
      const { status, type, text } = await this.#pages.page(
        target.path,
        exchange.request.socket.remoteAddress,
      );
      exchange.send(status, text, { "Content-Type": type });
      return;
    }
    const authenticated = this.#authenticator.authenticate({ method, target, fields });
    exchange.admit(authenticated);
    const operation = route(method, target, exchange.fields);
    outcome.operation = operation.name;
    checkPermission(authenticated.role, operation);
    await operation.run(exchange);
  }

  /** What the client is to hear of an error; what it is not to hear goes into the log. */
  #failure(error: unknown, { id }: Exchange, operation: string): S3Error {
    if (isS3Error(error)) {
      if (error.status >= 500 && error.code !== "NotImplemented")
        this.#logger.error("a request failed", {
          operation,
          id,
          code: error.code,
          error: error.cause ?? error.message,
        });
      return error;
    }
    // A reply that was broken off by its client is no fault of ours.
    if (!CLIENT_LEFT.has((error as { code?: unknown }).code))
      this.#logger.error("a request failed", { operation, id, error });
    return s3Error("InternalError", undefined, { cause: error });
  }

  /** What node:http itself could not read. */
  #clientError(error: NodeJS.ErrnoException, socket: Duplex): void {
    // What comes behind a request that asked for the connection's end is not to be read (RFC 9112, 9.6).
    if (error.code === "HPE_CLOSED_CONNECTION") return;
    // In the middle of a reply another one would be taken for part of it.
    const busy = [...this.#open].some((response) => response.socket === socket && response.headersSent);
    if (error.code === "ECONNRESET" || !socket.writable || busy) {
      socket.destroy();
      return;
    }
    const [line, code] = CLIENT_ERRORS[error.code ?? ""] ?? ["400 Bad Request", "InvalidRequest"];
    const body = errorDocument(s3Error(code), "", "");
    const head = `HTTP/1.1 ${line}\r\nContent-Type: application/xml\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n`;
    socket.end(head + body, () => socket.destroy());
  }
}

/** What streams fail with when the other side has gone. */
const CLIENT_LEFT: ReadonlySet<unknown> = new Set([
  "ABORT_ERR",
  "ECONNRESET",
  "EPIPE",
  "ERR_STREAM_PREMATURE_CLOSE",
]);

const CLIENT_ERRORS: Readonly<Record<string, readonly [string, S3Error["code"]]>> = {
  HPE_HEADER_OVERFLOW: ["431 Request Header Fields Too Large", "RequestHeaderSectionTooLarge"],
  ERR_HTTP_REQUEST_TIMEOUT: ["408 Request Timeout", "RequestTimeout"],
};

const checkKeys = (keys: readonly KeyPair[]): void => {
  const names = new Set<string>();
  for (const { accessKey, secretKey } of keys) {
    if (accessKey.length < LEAST_ACCESS_KEY || secretKey.length < LEAST_SECRET_KEY)
      throw registryError(
        "OL_REGISTRY_BAD_OPTION",
        `an access key must have ${LEAST_ACCESS_KEY} characters and a secret key ${LEAST_SECRET_KEY} at least`,
      );
    if (names.has(accessKey))
      throw registryError(
        "OL_REGISTRY_BAD_OPTION",
        "an access key is there twice; each must have one secret key and one role",
      );
    names.add(accessKey);
  }
};
