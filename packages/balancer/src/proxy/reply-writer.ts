import type { ErrorReply } from "./error-reply.ts";
import type { ProxyRequest, ProxyResponse } from "./messages.ts";
import type { ReplyHead } from "./reply-head.ts";
import { bodyLength } from "./request-body.ts";

/** Up to here a reply that came as a whole is written together with its head: one write is quicker than two. */
const ONE_WRITE_BYTES = 16 * 1024;
/** How long a client that still sends may take to read a reply that came early. */
const LINGER_MS = 2_000;

/** Writes one reply to a client. */
export class ReplyWriter {
  readonly #request: ProxyRequest;
  readonly #response: ProxyResponse;
  /** Nothing of the reply is handed to the connection yet. */
  #headWaits = false;
  /** All of a short body, which waits for the end of the reply. */
  #only: Buffer | undefined;
  #length = -1;

  constructor(request: ProxyRequest, response: ProxyResponse) {
    this.#request = request;
    this.#response = response;
  }

  /** Writes the head. Throws if node:http refuses to, and then nothing is written. */
  begin(status: number, { headers, length }: ReplyHead): void {
    this.#response.writeHead(status, headers);
    this.#headWaits = true;
    if (length !== undefined && length <= ONE_WRITE_BYTES) {
      this.#length = length;
      // If the body is there too, it comes before that.
      process.nextTick(flush, this);
    } else this.flushHead();
  }

  /** Who waits for events sees at once that they will come. Not by flushHeaders, which writes in UTF-8. */
  flushHead(): void {
    if (!this.#headWaits || this.#only !== undefined || this.#response.destroyed) return;
    this.#headWaits = false;
    this.#response.write("", "latin1");
  }

  /** False: no more until the response's `drain`. */
  write(data: Buffer): boolean {
    if (this.#headWaits && data.length === this.#length) {
      this.#only = data;
      return true;
    }
    this.#headWaits = false;
    return this.#response.write(data);
  }

  end(): void {
    const only = this.#only;
    this.#headWaits = false;
    if (only === undefined) this.#response.end();
    else this.#response.end(only.toString("latin1"), "latin1");
  }

  /** Ends the connection in mid-reply: the missing end is what tells the client. */
  breakOff(): void {
    this.#headWaits = false;
    this.#response.destroy();
  }

  /** Answers in place of a worker. `unasked`: the client waits for permission to send its body, and did not get it. */
  answer({ status, headers, body }: ErrorReply, closing: boolean, unasked: boolean): void {
    const response = this.#response;
    // Node calls a request without a body complete only once it has been handed over.
    const early = !this.#request.complete && bodyLength(this.#request) > 0;
    if (closing || early) response.shouldKeepAlive = false;
    response.writeHead(status, headers);
    if (!early || unasked) {
      response.end(body);
      return;
    }
    // The connection ends with the reply; what the client still sends is read on for a while, or it would find a reset in place of it.
    response.write(body);
    const over = (): void => {
      clearTimeout(timer);
      response.end();
    };
    const timer = setTimeout(over, LINGER_MS);
    this.#request.once("end", over);
    this.#request.once("close", over);
    this.#request.resume();
  }
}

function flush(writer: ReplyWriter): void {
  writer.flushHead();
}
