import { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

import { isOlError, type Logger, messageOf, type OlError } from "@ol/common";
import type { Invocation, LambdaInfo, LambdaManager } from "@ol/lambda";
import type { CallFailure, HttpRequest, ReplyHead, ReplySink } from "@ol/sandbox";

import { appHead, hasBody, wrongLength } from "./app-reply.ts";
import { CollectedFailure } from "./collected-failure.ts";
import { type ErrorReply, errorReply, failureReply } from "./error-reply.ts";
import { workerError } from "./errors.ts";
import { type BodyBudget, bodiesFull, HeldBody, tooLarge } from "./held-body.ts";
import { type Links, type OpenExchanges, STALLED_LOOKS } from "./open-exchanges.ts";
import { addWarm, JSON_TYPE, REPLY_HEADER, TEXT_TYPE } from "./reply-headers.ts";
import { RequestBody } from "./request-body.ts";
import { serverTiming } from "./server-timing.ts";

/** node:http's request, with the exchange it belongs to: saves closures, or a map, a request. */
export class WorkerRequest extends IncomingMessage {
  exchange: Exchange | undefined;
}

/** node:http's response, likewise. */
export class WorkerResponse extends ServerResponse<WorkerRequest> {
  exchange: Exchange | undefined;
}

/** What all exchanges of a worker share. */
export interface ExchangeHost extends BodyBudget {
  readonly manager: LambdaManager;
  readonly logger: Logger;
  readonly open: OpenExchanges;
  readonly draining: boolean;
  /** The X-OL-Load of this moment. */
  loadText(): string;
  /** The X-OL-Warm of this moment. */
  warmText(): string;
}

/** What was found out about a request before its body is read. */
export interface ExchangeRequest {
  readonly name: string;
  readonly invocationId: string;
  readonly traceparent: string;
  readonly rawHeaders: readonly string[];
  readonly http: HttpRequest;
  /** Whether the peer is a proxy that we trust: it is told which lambdas have a sandbox here. */
  readonly trusted: boolean;
  /** For so long the caller waits for the call to begin, in ms, if it said so. */
  readonly waitMs: number | undefined;
  /** The client waits for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean;
}

/**
 * asking: what is this lambda · reading: the body, to hand it over in full · running: handed to @ol/lambda; an app's body may
 * still be on its way · streaming: the reply's beginning is written · done: answered, or the client is gone.
 */
type State = "asking" | "reading" | "running" | "streaming" | "done";

const NO_BODY = Buffer.alloc(0);
/** Up to here a body is read in full before an app gets it, as a function does: one frame is quicker than two. */
const SMALL_BODY_BYTES = 64 * 1024;
/** A body that was refused is read on for so long, so that the client finds the reply and not a reset connection. */
const LINGER_MS = 2_000;
/** Up to here a reply is written together with its header: one write is quicker than two. */
const ONE_WRITE_BYTES = 16 * 1024;

/** One request for a lambda, from its header to the end of its reply. */
export class Exchange implements ReplySink {
  readonly links: Links = { previous: undefined, next: undefined };
  readonly #host: ExchangeHost;
  readonly #request: WorkerRequest;
  readonly #response: WorkerResponse;
  readonly #call: ExchangeRequest;
  #state: State = "asking";
  #invocation: Invocation | undefined;
  /** A body that is handed over in full. */
  #held: HeldBody | undefined;
  /** At the last look for stalled bodies, and how often it has been the same since. */
  #seenBytes = 0;
  #sameLooks = 0;
  #failure: CollectedFailure | undefined;
  /** An app's request body, if it is passed on as it comes. */
  #body: RequestBody | undefined;
  /** What an app's Content-Length promised and is not written yet. */
  #promised: number | undefined;
  #withoutBody = false;

  constructor(host: ExchangeHost, request: WorkerRequest, response: WorkerResponse, call: ExchangeRequest) {
    this.#host = host;
    this.#request = request;
    this.#response = response;
    this.#call = call;
    request.exchange = this;
    response.exchange = this;
    host.open.add(this);
    response.on("close", closed);
    if (response.socket === null) this.#watchConnection();
  }

  /** The connection it uses. */
  get socket(): Socket {
    return this.#request.socket;
  }

  /** Node tells a response that waits for its turn on the connection nothing of the connection's end. */
  #watchConnection(): void {
    const { socket } = this.#request;
    const gone = (): void => this.responseClosed();
    // One for each request that waits.
    socket.setMaxListeners(0);
    socket.once("close", gone);
    this.#response.once("close", () => socket.off("close", gone));
  }

  /** Asks what the lambda is, reads the body, runs the call. */
  run(): void {
    const info = this.#host.manager.describe(this.#call.name);
    if (info instanceof Promise)
      info.then(
        (known) => this.#admit(known),
        (error: unknown) => this.fail(error),
      );
    else this.#admit(info);
  }

  whole(failure: CallFailure | undefined, body: Buffer, head?: ReplyHead): void {
    if (failure !== undefined) return this.#answer(failureReply(failure, body));
    if (head !== undefined) return this.#wholeOfApp(head, body);
    if (this.#done()) return;
    const headers = this.#headers(JSON_TYPE, true);
    headers.push(REPLY_HEADER.contentLength, String(body.length));
    this.#response.writeHead(200, headers);
    if (body.length <= ONE_WRITE_BYTES) this.#response.end(body.toString("latin1"), "latin1");
    else this.#response.end(body);
  }

  start(failure: CallFailure | undefined, head?: ReplyHead): void {
    if (failure !== undefined) {
      this.#failure = new CollectedFailure(failure);
      return;
    }
    if (head === undefined) this.#response.writeHead(200, this.#headers(JSON_TYPE, false));
    else if (!this.#writeAppHead(head, undefined)) return;
    if (this.#withoutBody && this.#hasNoBody()) return this.#endHead();
    this.#state = "streaming";
    this.#response.on("drain", drained);
    // Who waits for events sees at once that they will come. Not by flushHeaders, which writes in UTF-8.
    this.#response.write("", "latin1");
  }

  chunk(data: Buffer): boolean {
    if (this.#failure !== undefined) {
      this.#failure.add(data);
      return true;
    }
    if (this.#state !== "streaming" || this.#withoutBody) return true;
    if (this.#promised !== undefined) {
      this.#promised -= data.length;
      // Another byte would be taken for the beginning of the next reply.
      if (this.#promised < 0) return this.#breakOff();
    }
    return this.#response.write(data);
  }

  end(): void {
    if (this.#failure !== undefined) return this.#answer(this.#failure.reply());
    if (this.#promised !== undefined && this.#promised > 0 && !this.#withoutBody)
      return void this.#breakOff();
    if (this.#done()) return;
    this.#response.end();
    this.#body?.drop();
  }

  /** There is room for more of an app's request body. */
  drain(): void {
    if (this.#state === "done" || this.#invocation === undefined) return;
    this.#body?.flow(this.#invocation, () => {
      if (this.#call.expectsContinue) this.#response.writeContinue();
    });
  }

  /** Answers with the error; after the first byte of a reply all that can be done is to break it off. */
  fail(error: unknown): void {
    if (this.#state === "streaming") return void this.#breakOff();
    if (!isOlError(error) || (error.causedBy === "system" && error.status === 500)) this.#log(error);
    this.#answer(errorReply(error, this.#invocation?.started ?? false));
  }

  /** Called at a regular pace: refuses a request whose body has stopped coming. */
  checkBody(): void {
    if (this.#state !== "reading" && this.#body?.flowing !== true) return;
    const bytes = this.#body?.bytes ?? this.#held?.bytes ?? 0;
    this.#sameLooks = bytes === this.#seenBytes ? this.#sameLooks + 1 : 0;
    this.#seenBytes = bytes;
    if (this.#sameLooks < STALLED_LOOKS) return;
    this.#invocation?.cancel();
    this.fail(workerError("OL_WORKER_BODY_TIMEOUT", "the request's body stopped coming"));
  }

  /** The worker takes no calls any more: one whose body still comes need not send the rest of it. */
  refuseUnread(): void {
    if (this.#state === "reading") this.#invoke(NO_BODY);
  }

  /** The response was closed: the usual end, or the client is gone. */
  responseClosed(): void {
    if (this.#done()) return;
    this.#invocation?.cancel();
  }

  /** The client takes more of a streamed reply. */
  responseDrained(): void {
    this.#invocation?.resume();
  }

  #admit(info: LambdaInfo): void {
    if (this.#state !== "asking") return;
    const refusal = this.#refusal(info);
    if (refusal !== undefined) return this.fail(refusal);
    if (this.#hasNoBody()) return this.#invoke(NO_BODY);
    const { kind, bodyBytes } = info;
    const length = this.#lengthOfBody();
    if (kind === undefined && length > Math.min(bodyBytes, SMALL_BODY_BYTES)) return this.#learn();
    if (kind !== undefined && kind !== "function" && length > SMALL_BODY_BYTES)
      return this.#invokeStreaming();
    this.#held = new HeldBody(this.#host, kind === "function" ? bodyBytes : SMALL_BODY_BYTES);
    this.#state = "reading";
    if (this.#call.expectsContinue) this.#response.writeContinue();
    this.#request.on("data", dataCame);
    this.#request.on("end", bodyEnded);
  }

  /** A large body is not read before it is known whether an app takes it as it comes. */
  #learn(): void {
    this.#host.manager.learn(this.#call.name).then(
      (info) => this.#admit(info),
      (error: unknown) => this.fail(error),
    );
  }

  #refusal({ methods, bodyBytes, kind }: LambdaInfo): OlError | undefined {
    const { method = "", headers } = this.#request;
    if (methods !== undefined && !methods.includes(method)) {
      const allow = methods.join(", ");
      return workerError("OL_WORKER_METHOD_NOT_ALLOWED", `${this.#call.name} takes only ${allow}`, {
        details: { allow },
      });
    }
    const length = Number(headers["content-length"] ?? 0);
    if (kind === "function" && length > bodyBytes) return tooLarge(bodyBytes);
    if (kind !== "function" && length > SMALL_BODY_BYTES) return undefined;
    return this.#host.heldBytes + length > this.#host.maxHeldBytes ? bodiesFull() : undefined;
  }

  /** A piece of the request's body. */
  received(data: Buffer): void {
    if (this.#state !== "reading") return;
    const refusal = this.#held?.add(data);
    if (refusal !== undefined) this.fail(refusal);
  }

  /** The request's body is there in full. */
  complete(): void {
    if (this.#state === "reading") this.#invoke(this.#held?.take() ?? NO_BODY);
  }

  #invoke(body: Buffer, bodyFollows = false): void {
    this.#state = "running";
    const { name, invocationId, traceparent, rawHeaders, http, waitMs } = this.#call;
    const request = { invocationId, body, bodyFollows, traceparent, rawHeaders, http, waitMs };
    this.#invocation = this.#host.manager.invoke(name, request, this);
  }

  /** The body is read once the app is there to take it. */
  #invokeStreaming(): void {
    this.#body = new RequestBody(this.#request);
    this.#invoke(NO_BODY, true);
  }

  #wholeOfApp(head: ReplyHead, body: Buffer): void {
    if (!this.#writeAppHead(head, body.length) || this.#done()) return;
    if (this.#withoutBody) this.#response.end();
    else this.#response.end(body);
    this.#body?.drop();
  }

  /** `bytes` is the body's length if it is all there. False if the head is none to be written, which is answered then. */
  #writeAppHead(head: ReplyHead, bytes: number | undefined): boolean {
    if (this.#state === "done") return false;
    try {
      const { status, headers, promised } = appHead(head);
      this.#withoutBody = !hasBody(this.#request.method, status);
      if (!this.#withoutBody && bytes !== undefined && promised === undefined)
        headers.push(REPLY_HEADER.contentLength, String(bytes));
      if (!this.#withoutBody && bytes !== undefined && promised !== undefined && promised !== bytes)
        throw wrongLength(promised, bytes);
      this.#promised = promised;
      this.#addOurs(headers, bytes !== undefined);
      this.#response.writeHead(status, headers);
      return true;
    } catch (error) {
      if (!isOlError(error)) throw error;
      this.#invocation?.cancel();
      this.fail(error);
      return false;
    }
  }

  /** The head is all of the reply: nobody waits for what the app still does. */
  #endHead(): void {
    if (!this.#done()) this.#response.end();
  }

  /** The reply cannot be finished. The missing end is what tells the client. */
  #breakOff(): false {
    if (this.#done()) return false;
    this.#invocation?.cancel();
    this.#response.destroy();
    return false;
  }

  #answer({ status, message, headers }: ErrorReply): void {
    if (this.#done()) return;
    const body = Buffer.from(message.endsWith("\n") ? message : `${message}\n`);
    const all = this.#headers(TEXT_TYPE, true);
    all.push(
      REPLY_HEADER.contentLength,
      String(body.length),
      "X-Content-Type-Options",
      "nosniff",
      ...headers,
    );
    if (this.#request.complete || this.#hasNoBody()) {
      this.#response.writeHead(status, all);
      this.#response.end(body);
    } else this.#answerEarly(status, all, body);
  }

  /** A reply while the body still comes: what is left of it is read and dropped for a while. */
  #answerEarly(status: number, headers: string[], body: Buffer): void {
    this.#response.shouldKeepAlive = false;
    this.#response.writeHead(status, headers);
    if (this.#call.expectsContinue && (this.#held?.bytes ?? 0) === 0 && this.#body?.begun !== true) {
      // It was never told to send its body.
      this.#response.end(body);
      return;
    }
    this.#response.write(body);
    const over = (): void => {
      clearTimeout(timer);
      this.#response.end();
    };
    const timer = setTimeout(over, LINGER_MS);
    this.#request.once("end", over);
    this.#request.once("close", over);
    if (this.#body === undefined) this.#request.resume();
    else this.#body.ignore();
  }

  #hasNoBody(): boolean {
    return this.#lengthOfBody() === 0;
  }

  /** In bytes; Infinity for a body whose length shows at its end. */
  #lengthOfBody(): number {
    const { headers } = this.#request;
    if (headers["transfer-encoding"] !== undefined) return Number.POSITIVE_INFINITY;
    return Number(headers["content-length"] ?? 0);
  }

  #headers(type: string, ended: boolean): string[] {
    const headers = [REPLY_HEADER.contentType, type];
    this.#addOurs(headers, ended);
    return headers;
  }

  /** `ended` is whether the call is over. */
  #addOurs(headers: string[], ended: boolean): void {
    headers.push(
      REPLY_HEADER.invocationId,
      this.#call.invocationId,
      REPLY_HEADER.load,
      this.#host.loadText(),
    );
    if (this.#call.trusted) addWarm(headers, this.#request.socket, this.#host.warmText());
    const phases = this.#invocation?.phases();
    if (phases !== undefined) headers.push(REPLY_HEADER.timing, serverTiming(phases, ended));
    if (this.#host.draining) this.#response.shouldKeepAlive = false;
  }

  /** Ends the exchange once; returns whether that had happened before. */
  #done(): boolean {
    if (this.#state === "done") return true;
    this.#state = "done";
    this.#host.open.delete(this);
    this.#held?.release();
    return false;
  }

  #log(error: unknown): void {
    this.#host.logger.error("a call failed", {
      lambda: this.#call.name,
      invocation: this.#call.invocationId,
      error: messageOf(error),
      ...(isOlError(error) ? { code: error.code, cause: messageOf(error.cause ?? "") } : {}),
    });
  }
}

function dataCame(this: WorkerRequest, data: Buffer): void {
  this.exchange?.received(data);
}

function bodyEnded(this: WorkerRequest): void {
  this.exchange?.complete();
}

function closed(this: WorkerResponse): void {
  this.exchange?.responseClosed();
}

function drained(this: WorkerResponse): void {
  this.exchange?.responseDrained();
}
