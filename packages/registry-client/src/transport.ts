import http, { type ClientRequest, type IncomingMessage, type RequestOptions } from "node:http";
import https from "node:https";

import { Refusal } from "./refusal.ts";

/** How one request is to be sent. */
export interface Sending {
  readonly secure: boolean;
  /** The statuses whose answer is handed on; any other becomes a Refusal. */
  readonly accepted: readonly number[];
  /** For so long nothing may happen on the connection. */
  readonly silenceMs: number;
  /** When the whole request must be over; absent: no limit but the silence and the signal. */
  readonly deadlineMs: number | undefined;
  /** Larger answers are broken off; absent: no limit. */
  readonly maxBytes: number | undefined;
  readonly signal: AbortSignal;
}

/** Nothing, or not all, came from the store in time. */
export class SlowStore extends Error {
  constructor(what: string) {
    super(what);
    this.name = "SlowStore";
  }
}

/** An answer larger than any sound one. */
export class LongAnswer extends Error {
  constructor(maxBytes: number) {
    super(`its answer is longer than ${maxBytes} bytes`);
    this.name = "LongAnswer";
  }
}

/** What S3 says of an error is shorter by far. */
const MAX_REFUSAL_BYTES = 65_536;

/**
 * Stands in for node:http beneath minio-js, one for each request: that library knows no signal and no time limit, reads
 * answers of any length, and forgets the status of an error. The failure that it reports is then one of ours, unchanged.
 */
export class OneRequest {
  readonly #sending: Sending;
  #sent: ClientRequest | undefined;
  #answer: IncomingMessage | undefined;

  constructor(sending: Sending) {
    this.#sending = sending;
  }

  /** Whether the connection had served another request before: the store may have closed it at the same moment. */
  get reused(): boolean {
    return this.#sent?.reusedSocket ?? false;
  }

  /** Whether the store has begun to answer. */
  get answered(): boolean {
    return this.#answer !== undefined;
  }

  readonly request = (
    options: RequestOptions,
    onAnswer: (answer: IncomingMessage) => void,
  ): ClientRequest => {
    const { secure, accepted, silenceMs, deadlineMs, signal } = this.#sending;
    const sent = (secure ? https : http).request(options, (answer) => {
      this.#answer = answer;
      this.#limit(answer);
      if (accepted.includes(answer.statusCode ?? 0)) onAnswer(answer);
      else void this.#refuse(answer);
    });
    this.#sent = sent;
    const stop = (): void => this.#stop(signal.reason as Error);
    const timer =
      deadlineMs === undefined
        ? undefined
        : setTimeout(() => this.#stop(new SlowStore(`no answer within ${deadlineMs} ms`)), deadlineMs);
    sent.setTimeout(silenceMs, () => this.#stop(new SlowStore(`nothing came for ${silenceMs} ms`)));
    sent.once("close", () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    });
    if (signal.aborted) queueMicrotask(stop);
    else signal.addEventListener("abort", stop, { once: true });
    return sent;
  };

  #limit(answer: IncomingMessage): void {
    const { maxBytes } = this.#sending;
    if (maxBytes === undefined) return;
    let bytes = 0;
    const push = answer.push.bind(answer);
    // Not by listening to `data`: that would set it flowing before anybody else listens.
    answer.push = (chunk: Uint8Array | null, ...rest) => {
      bytes += chunk?.length ?? 0;
      if (bytes > maxBytes) {
        this.#stop(new LongAnswer(maxBytes));
        return false;
      }
      return push(chunk, ...rest);
    };
  }

  async #refuse(answer: IncomingMessage): Promise<void> {
    const { silenceMs } = this.#sending;
    // A request without a deadline is about a bundle, which this is not.
    const late = new SlowStore(`no end of its answer within ${silenceMs} ms`);
    const timer = setTimeout(() => this.#stop(late), silenceMs);
    try {
      const chunks: Buffer[] = [];
      let bytes = 0;
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > MAX_REFUSAL_BYTES) break;
        chunks.push(chunk);
      }
      const body = Buffer.concat(chunks).toString("utf8");
      this.#fail(new Refusal(answer.statusCode ?? 0, answer.headers, body));
    } catch (error) {
      this.#fail(error as Error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** By the event, since destroying a request says nothing once its answer was read. */
  #fail(error: Error): void {
    const sent = this.#sent;
    sent?.emit("error", error);
    // What is still being sent is of no use to anybody.
    if (sent?.writableFinished === false) sent.destroy();
  }

  #stop(error: Error): void {
    if (this.#answer === undefined) this.#sent?.destroy(error);
    else this.#answer.destroy(error);
  }
}
