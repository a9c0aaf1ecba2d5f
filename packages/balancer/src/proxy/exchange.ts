import type { Socket } from "node:net";
import type { Readable } from "node:stream";

import { isOlError, messageOf, type OlError } from "@ol/common";

import type { CallSink } from "../call.ts";
import { balancerError } from "../errors.ts";
import type { Lease } from "../lease.ts";
import { Attempt, type AttemptFailure, type AttemptOwner } from "./attempt.ts";
import { attemptError } from "./attempt-error.ts";
import type { RequestOutcome } from "./counters.ts";
import { errorReply } from "./error-reply.ts";
import type { ProxyCall, ProxyHost } from "./host.ts";
import type { ProxyRequest, ProxyResponse } from "./messages.ts";
import { replyHead, type ReplyHead } from "./reply-head.ts";
import { ReplyWriter } from "./reply-writer.ts";
import { bodyLength, RequestBody } from "./request-body.ts";

/**
 * reading: the body, to have it as a whole · waiting: for a lease · sent: to a worker · deciding: whether another worker gets
 * it, the first having said that it did not start · replying: the reply's head is written · flushing: all of the reply is, and
 * the client reads it · done.
 */
type State = "reading" | "waiting" | "sent" | "deciding" | "replying" | "flushing" | "done";

/** One request for a lambda, from its header to the end of its reply. */
export class ProxyExchange implements AttemptOwner, CallSink {
  readonly #host: ProxyHost;
  readonly #request: ProxyRequest;
  readonly #response: ProxyResponse;
  readonly #reply: ReplyWriter;
  readonly #call: ProxyCall;
  readonly #startedMs = performance.now();
  #state: State = "reading";
  /** Takes the call out of the queue that it waits in. */
  #leaveQueue: (() => void) | undefined;
  #body: RequestBody | undefined;
  #lease: Lease | undefined;
  #attempt: Attempt | undefined;
  /** A byte of the request may have reached a worker that did not say otherwise. */
  #started = false;
  /** The client was told to send its body. */
  #continued = false;
  /** What became of the reply that is decided about. */
  #decided: "open" | "ended" | "broken" = "open";
  /** The client does not read: nothing more is taken from the worker. */
  #paused = false;
  /** When something of the reply came, or the client took something of it. */
  #lastMs = 0;

  constructor(host: ProxyHost, request: ProxyRequest, response: ProxyResponse, call: ProxyCall) {
    this.#host = host;
    this.#request = request;
    this.#response = response;
    this.#reply = new ReplyWriter(request, response);
    this.#call = call;
    request.exchange = this;
    response.exchange = this;
    host.open.add(this);
    response.on("close", closed);
  }

  /** The connection it uses. */
  get socket(): Socket {
    return this.#request.socket;
  }

  /** Begins; a request that came before the one in front of it was answered, after that. */
  run(): void {
    if (this.#response.socket !== null) return this.#run();
    const { socket } = this.#request;
    this.#request.pause();
    // Node tells a response that waits for its turn nothing of the connection's end.
    const gone = (): void => this.responseClosed();
    // One for each request that waits.
    socket.setMaxListeners(0);
    socket.once("close", gone);
    this.#response.once("socket", () => {
      socket.off("close", gone);
      if (this.#state === "reading") this.#run();
    });
  }

  /** Called by http-proxy's list of passes: hands the request to the worker of its lease. */
  send(): void {
    const lease = this.#lease;
    if (lease === undefined) return;
    this.#state = "sent";
    const { pools, nowMs, proof } = this.#host;
    const attempt = new Attempt(this, lease, nowMs);
    this.#attempt = attempt;
    this.#lastMs = nowMs;
    const { worker, firstByteMs } = lease;
    const headers = [...this.#call.fields, "X-OL-Deadline-Ms", String(Math.ceil(firstByteMs))];
    if (proof !== undefined) headers.push("X-OL-Proxy", proof.text());
    pools.of(worker).dispatch(
      {
        path: this.#call.target,
        method: this.#request.method as "GET",
        body: this.#body === undefined ? null : this.#bodyOf(this.#body, headers),
        headers,
        // Else a worker's certificate would have to have the name that the client wrote.
        ...(worker.url.protocol === "https:" && { servername: worker.url.hostname }),
      },
      attempt,
    );
  }

  /** There is a worker for the call. */
  placed(lease: Lease): void {
    if (this.#state !== "waiting" && this.#state !== "deciding") return lease.release();
    this.#lease = lease;
    this.#host.engine.web(this.#request, this.#response);
  }

  /** There is none. */
  refused(error: OlError): void {
    this.fail(error);
  }

  head(attempt: Attempt, status: number, raw: readonly Buffer[]): boolean {
    const head = replyHead(raw, this.#call.invocationId);
    const { lease } = attempt;
    lease.answered({
      ...(head.load !== undefined && { load: head.load }),
      ...(head.warm !== undefined && { warm: head.warm }),
    });
    this.#lastMs = this.#host.nowMs;
    if (status !== 503 || !head.notStarted) return this.#begin(status, head);
    this.#host.counters.failures["not-started"] += 1;
    lease.failed("protocol", true);
    if (this.#body?.repeatable === false) return this.#begin(status, head);
    this.#state = "deciding";
    this.#again(attempt, () => this.#keepReply(attempt, status, head));
    return false;
  }

  data(data: Buffer): boolean {
    this.#lastMs = this.#host.nowMs;
    if (this.#reply.write(data)) return true;
    if (!this.#paused) this.#response.once("drain", drained);
    this.#paused = true;
    return false;
  }

  end(): void {
    if (this.#state === "deciding") this.#decided = "ended";
    else this.#finish("replied");
  }

  failed(attempt: Attempt, { reason, notStarted, cause }: AttemptFailure): void {
    if (reason === "request") {
      this.#lease?.release();
      this.fail(
        balancerError("OL_BALANCER_BAD_REQUEST", `the request cannot be passed on: ${messageOf(cause)}`),
      );
      return;
    }
    if (this.#state === "deciding") {
      this.#decided = "broken";
      return;
    }
    this.#host.counters.failures[reason] += 1;
    attempt.lease.failed(reason, notStarted);
    if (this.#state === "replying") return this.#breakOff();
    this.#started ||= !notStarted;
    const error = attemptError(reason, notStarted, attempt.lease.worker.id, cause);
    if (this.#body?.repeatable === false) this.fail(error);
    else this.#again(attempt, () => this.fail(error));
  }

  /** Answers with the error; after the first byte of a reply all that can be done is to break it off. */
  fail(error: unknown): void {
    if (this.#state === "replying") return this.#breakOff();
    if (this.#state === "flushing" || this.#state === "done") return;
    if (!isOlError(error)) this.#log(error);
    const reply = errorReply(error, this.#started);
    reply.headers.push("X-OL-Invocation-Id", this.#call.invocationId);
    this.#leave(this.#attempt === undefined ? "refused" : "failed");
    const { expectsContinue } = this.#call;
    this.#reply.answer(reply, this.#host.draining, expectsContinue && !this.#continued);
  }

  /** Called at a regular pace: ends what takes too long. */
  check(): void {
    const { nowMs, limits } = this.#host;
    const body = this.#body;
    switch (this.#state) {
      case "reading":
        if (body?.flowing === true && nowMs - body.lastMs > limits.bodyIdleMs) this.#bodyStopped();
        break;
      case "sent":
        this.#checkAttempt(nowMs);
        break;
      case "replying":
      case "flushing":
        if (nowMs - this.#lastMs > limits.idleMs) this.#stopped();
        break;
      default:
    }
  }

  /** The response was closed: the usual end, or the client is gone. */
  responseClosed(): void {
    this.#host.open.delete(this);
    if (this.#state === "flushing" || this.#state === "done") {
      this.#state = "done";
      return;
    }
    this.#attempt?.cancel();
    this.#leaveQueue?.();
    this.#leave("left");
    this.#state = "done";
  }

  /** The client takes more of the reply. */
  responseDrained(): void {
    this.#lastMs = this.#host.nowMs;
    this.#paused = false;
    if (this.#state === "replying") this.#attempt?.resume();
  }

  /** What came on its connection is no HTTP: its body, or else what is behind it. */
  malformed(): void {
    if (this.#request.complete) {
      this.#response.shouldKeepAlive = false;
      return;
    }
    if (this.#state === "flushing" || this.#state === "done") return this.#reply.breakOff();
    this.#attempt?.cancel();
    this.#response.shouldKeepAlive = false;
    this.fail(balancerError("OL_BALANCER_BAD_REQUEST", "the request's body is not HTTP as we know it"));
  }

  /** The balancer ends: whoever still sends its body need not go on. */
  refuseUnread(): void {
    if (this.#state === "reading") this.#acquire();
  }

  #run(): void {
    const length = bodyLength(this.#request);
    if (length === 0) return this.#acquire();
    const { keptBytes: most } = this.#host.limits;
    this.#body = new RequestBody(this.#request, most, this.#host, () => this.#host.nowMs);
    const collectable = length <= most || length === Number.POSITIVE_INFINITY;
    if (collectable && !this.#call.expectsContinue) this.#body.collect(() => this.#acquire());
    else this.#acquire();
  }

  #acquire(): void {
    if (this.#state !== "reading") return;
    this.#state = "waiting";
    const { name, client, deadlineMs } = this.#call;
    const { method } = this.#request;
    const idempotent = method === "GET" || method === "HEAD";
    this.#leaveQueue = this.#host.dispatcher.enter(
      { name, client, idempotent, ...(deadlineMs !== undefined && { deadlineMs }) },
      this,
    );
  }

  /** As a whole if it is there, else as it comes. */
  #bodyOf(body: RequestBody, headers: string[]): Buffer | Readable {
    const all = body.all;
    if (all !== undefined) return all;
    const { "content-length": length } = this.#request.headers;
    if (length !== undefined) headers.push("Content-Length", length);
    return body.stream(() => {
      if (!this.#call.expectsContinue) return;
      this.#continued = true;
      this.#response.writeContinue();
    });
  }

  /** Gives the call to another worker if that may be; else `otherwise`. */
  #again(attempt: Attempt, otherwise: () => void): void {
    this.#state = "deciding";
    const gone = new AbortController();
    this.#leaveQueue = () => gone.abort();
    attempt.lease.again(gone.signal).then(
      (lease) => this.#decide(attempt, lease, otherwise),
      // No other worker has room: what there is to say is what the first one said.
      () => this.#decide(attempt, undefined, otherwise),
    );
  }

  #decide(attempt: Attempt, lease: Lease | undefined, otherwise: () => void): void {
    if (this.#state !== "deciding") return lease?.release();
    if (lease === undefined) return otherwise();
    this.#host.counters.retries += 1;
    this.#decided = "open";
    attempt.discard();
    this.placed(lease);
  }

  /** The reply that says "not started" is the best there is. */
  #keepReply(attempt: Attempt, status: number, head: ReplyHead): void {
    if (this.#decided === "broken")
      return this.fail(attemptError("reset", true, attempt.lease.worker.id, undefined));
    if (!this.#begin(status, head)) return;
    if (this.#decided === "ended") this.#finish("replied");
    else attempt.resume();
  }

  #begin(status: number, head: ReplyHead): boolean {
    try {
      // It never was told to send its body, so nobody knows whether what comes next is that.
      const unasked = this.#call.expectsContinue && !this.#continued;
      if (this.#host.draining || unasked) this.#response.shouldKeepAlive = false;
      this.#reply.begin(status, head);
    } catch (error) {
      this.#attempt?.cancel();
      this.#lease?.failed("protocol", false);
      this.#host.counters.failures.protocol += 1;
      this.#started = true;
      const why = `the worker replied with what is no HTTP: ${messageOf(error)}`;
      this.fail(balancerError("OL_BALANCER_WORKER_FAILED", why, { cause: error }));
      return false;
    }
    this.#state = "replying";
    // Nobody sends it again once there is a reply.
    this.#body?.forget();
    return true;
  }

  #finish(outcome: RequestOutcome): void {
    this.#leave(outcome);
    this.#reply.end();
  }

  /** The worker has no part in it any more. */
  #leave(outcome: RequestOutcome): void {
    this.#state = "flushing";
    this.#lastMs = this.#host.nowMs;
    this.#host.counters.ended(outcome, performance.now() - this.#startedMs);
    this.#lease?.release();
    this.#body?.drop();
  }

  #breakOff(): void {
    this.#attempt?.cancel();
    this.#leave("cut");
    this.#reply.breakOff();
  }

  #checkAttempt(nowMs: number): void {
    const attempt = this.#attempt as Attempt;
    const { limits } = this.#host;
    const body = this.#body;
    if (attempt.connecting) {
      if (nowMs - attempt.startedMs > limits.connectMs) this.#timedOut(attempt, "connect");
    } else if (body?.flowing === true) {
      if (nowMs - body.lastMs > limits.bodyIdleMs) this.#bodyStopped();
    } else if (nowMs - Math.max(this.#lastMs, body?.lastMs ?? 0) > attempt.lease.firstByteMs)
      this.#timedOut(attempt, "timeout");
  }

  #timedOut(attempt: Attempt, reason: "connect" | "timeout"): void {
    const notStarted = attempt.connecting;
    attempt.cancel();
    this.failed(attempt, { reason, notStarted, cause: new Error("it took too long") });
  }

  #bodyStopped(): void {
    this.#attempt?.cancel();
    this.fail(balancerError("OL_BALANCER_BODY_TIMEOUT", "the request's body stopped coming"));
  }

  /** Either side of a reply has stopped. */
  #stopped(): void {
    if (this.#state === "flushing") return this.#reply.breakOff();
    if (!this.#paused) {
      this.#host.counters.failures.timeout += 1;
      this.#lease?.failed("timeout", false);
    }
    this.#breakOff();
  }

  #log(error: unknown): void {
    this.#host.logger.error("a call failed", {
      lambda: this.#call.name,
      invocation: this.#call.invocationId,
      error: messageOf(error),
    });
  }
}

function closed(this: ProxyResponse): void {
  this.exchange?.responseClosed();
}

function drained(this: ProxyResponse): void {
  this.exchange?.responseDrained();
}
