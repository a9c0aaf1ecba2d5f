import { Readable } from "node:stream";

import type { ProxyRequest } from "./messages.ts";

/** What bodies that are kept take, over all requests. */
export interface KeptBudget {
  keptBytes: number;
  readonly maxKeptBytes: number;
}

/** A client that still sends a body that nobody wants has so long to finish, before its connection is closed. */
const UNWANTED_MS = 2_000;
const NOTHING = Buffer.alloc(0);

/** In bytes, as the request's head says; Infinity for a body whose length shows at its end. */
export const bodyLength = ({ headers }: ProxyRequest): number => {
  if (headers["transfer-encoding"] !== undefined) return Number.POSITIVE_INFINITY;
  return Number(headers["content-length"] ?? 0);
};

/**
 * A client's request body. It is collected up to a size before a worker is asked for, so that a slow client holds no
 * place at one, and kept as far as it can be sent again; what is beyond that is read no faster than the worker takes it.
 */
export class RequestBody {
  /** The time when something of it came, by `now`. */
  lastMs: number;
  /** If nothing comes now, that is the client's doing. */
  flowing = false;
  /** All of it came. */
  whole = false;
  readonly #request: ProxyRequest;
  readonly #now: () => number;
  readonly #budget: KeptBudget;
  readonly #mostBytes: number;
  #kept: Buffer[] | undefined = [];
  #keptBytes = 0;
  #listening = false;
  /** Called once what is collected is enough. */
  #collected: (() => void) | undefined;
  #begin: (() => void) | undefined;
  #stream: BodyStream | undefined;

  /** `mostBytes` is how much of it may be kept. */
  constructor(request: ProxyRequest, mostBytes: number, budget: KeptBudget, now: () => number) {
    this.#request = request;
    this.#mostBytes = mostBytes;
    this.#budget = budget;
    this.#now = now;
    this.lastMs = now();
    request.pause();
  }

  /** Everything that came of it is still there. */
  get repeatable(): boolean {
    return this.#kept !== undefined;
  }

  /** It came and is there as a whole. */
  get all(): Buffer | undefined {
    if (!this.whole || this.#kept === undefined) return undefined;
    if (this.#kept.length > 1) this.#kept = [Buffer.concat(this.#kept)];
    return this.#kept[0] ?? NOTHING;
  }

  /** Reads until it is whole, or as large as may be kept. */
  collect(done: () => void): void {
    this.#collected = done;
    this.#flow();
  }

  /** As it comes, from its first byte, which must still be there. `begin` is called before it is read for the first time. */
  stream(begin: () => void): Readable {
    this.#begin ??= begin;
    this.#stream?.detach();
    const stream = new BodyStream(this);
    this.#stream = stream;
    for (const piece of this.#kept ?? []) stream.push(piece);
    if (this.whole) stream.push(null);
    return stream;
  }

  /** The worker takes more of `stream`. */
  wanted(stream: BodyStream): void {
    if (stream === this.#stream && !this.whole) this.#flow();
  }

  /** Nobody sends it again. */
  forget(): void {
    this.#budget.keptBytes -= this.#keptBytes;
    this.#keptBytes = 0;
    this.#kept = undefined;
  }

  /** Nobody takes it any more: what still comes is read and dropped, for a while. */
  drop(): void {
    this.forget();
    this.#collected = undefined;
    this.#stream?.detach();
    this.#stream = undefined;
    this.flowing = false;
    if (this.#request.complete || this.#request.destroyed) return;
    const timer = setTimeout(() => this.#request.destroy(), UNWANTED_MS);
    const over = (): void => clearTimeout(timer);
    this.#request.once("end", over);
    this.#request.once("close", over);
    this.#request.resume();
  }

  #flow(): void {
    if (!this.flowing) this.lastMs = this.#now();
    this.flowing = true;
    if (!this.#listening) {
      this.#listening = true;
      if (this.#begin !== undefined) this.#begin();
      this.#request.on("data", (data: Buffer) => this.#received(data));
      this.#request.on("end", () => this.#ended());
    }
    this.#request.resume();
  }

  #received(data: Buffer): void {
    this.lastMs = this.#now();
    if (this.#collected !== undefined) {
      this.#keep(data);
      // With memory used up bodies are passed on as they come.
      const full = this.#budget.keptBytes > this.#budget.maxKeptBytes;
      if (full || this.#keptBytes > this.#mostBytes) this.#collectedEnough();
    } else if (this.#stream !== undefined) {
      if (this.#keptBytes + data.length > this.#mostBytes) this.forget();
      else if (this.#kept !== undefined) this.#keep(data);
      if (!this.#stream.push(data)) this.#hold();
    }
  }

  #ended(): void {
    this.whole = true;
    this.flowing = false;
    if (this.#collected !== undefined) this.#collectedEnough();
    else this.#stream?.push(null);
  }

  #keep(data: Buffer): void {
    this.#kept?.push(data);
    this.#keptBytes += data.length;
    this.#budget.keptBytes += data.length;
  }

  #collectedEnough(): void {
    const done = this.#collected;
    this.#collected = undefined;
    if (!this.whole) this.#hold();
    done?.();
  }

  #hold(): void {
    this.flowing = false;
    this.#request.pause();
  }
}

/** A body on its way to one worker. */
export class BodyStream extends Readable {
  #body: RequestBody | undefined;

  constructor(body: RequestBody) {
    super();
    this.#body = body;
  }

  /** Nothing more comes of it. */
  detach(): void {
    this.#body = undefined;
    this.destroy();
  }

  override _read(): void {
    this.#body?.wanted(this);
  }
}
