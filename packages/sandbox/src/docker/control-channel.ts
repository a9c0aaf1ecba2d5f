import type { Duplex } from "node:stream";

import { deferred, type Deferred } from "@ol/common";

import { sandboxError } from "../errors.ts";
import { encodeFrame } from "../sock/broker-wire.ts";

/** What the zygote of a shared container is asked for (python/ol_guest/shared.py). */
export type ControlOp = "fork" | "kill" | "stop" | "cont" | "measure";

/** An answer, of which nothing is believed but that it was asked for. */
export interface ControlAnswer {
  /** Why it could not be done. */
  readonly error?: string;
  readonly bytes?: number;
}

/** What it tells by itself, and what must not be. */
export interface ControlEvents {
  /** Nothing is left of a leaf; false if there is none of that number. */
  exit(leaf: number, status: number): boolean;
  /** It broke the protocol, or does not answer: nothing more is to be expected of it. The last event. */
  broken(reason: string): void;
  /** It is gone, or has closed. The last event. */
  closed(): void;
}

const HEADER_BYTES = 4;
/** An answer has a number and one line; the longest is an error of the kernel's. */
const MOST_BYTES = 4_096;
/** A fork takes milliseconds, and stopping gives up after one second; a machine that starts fifty containers takes its time. */
const ANSWER_MS = 10_000;
const MOST_STATUS = 0xffff;

interface Asked {
  readonly answer: Deferred<ControlAnswer>;
  readonly timer: NodeJS.Timeout;
}

/**
 * The connection to the zygote of a shared container. It is the lambda's neighbour, and may be in its hands: each message has to be
 * one that is expected, of a few bytes, in time.
 */
export class ControlChannel {
  readonly #socket: Duplex;
  readonly #events: ControlEvents;
  readonly #answerMs: number;
  readonly #asked = new Map<string, Asked>();
  #pending: Buffer = Buffer.alloc(0);
  #broken: string | undefined;

  /** `answerMs`: how long it may take to answer. */
  constructor(socket: Duplex, events: ControlEvents, answerMs: number = ANSWER_MS) {
    this.#socket = socket;
    this.#events = events;
    this.#answerMs = answerMs;
    socket.on("data", (data: Buffer) => this.#onData(data));
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#end("its first process ended", () => events.closed()));
  }

  /** What it is before the first fork. */
  begin(settings: Readonly<Record<string, unknown>>): void {
    this.#send(settings);
  }

  /**
   * One request of a kind for a leaf is under way at a time: whoever asks again hears the same answer. Fails with
   * OL_SANDBOX_CREATE_FAILED when the channel is broken, and with it the container.
   */
  ask(op: ControlOp, leaf: number, fields: Readonly<Record<string, unknown>> = {}): Promise<ControlAnswer> {
    if (this.#broken !== undefined) return Promise.reject(gone(this.#broken));
    const key = `${op} ${leaf}`;
    const known = this.#asked.get(key);
    if (known !== undefined) return known.answer.promise;
    const late = (): void => this.#break(`its first process did not answer within ${this.#answerMs} ms`);
    const asked: Asked = { answer: deferred(), timer: setTimeout(late, this.#answerMs) };
    this.#asked.set(key, asked);
    this.#send({ op, leaf, ...fields });
    return asked.answer.promise;
  }

  #send(message: Readonly<Record<string, unknown>>): void {
    const frame = encodeFrame(message);
    if (frame === undefined) throw new Error("a message to a zygote that is too long");
    this.#socket.write(frame);
  }

  #onData(data: Buffer): void {
    let rest = this.#pending.length === 0 ? data : Buffer.concat([this.#pending, data]);
    while (this.#broken === undefined && rest.length >= HEADER_BYTES) {
      const length = rest.readUInt32BE();
      if (length > MOST_BYTES) {
        this.#break(`its first process sent a message of ${length} bytes`);
        return;
      }
      if (rest.length < HEADER_BYTES + length) break;
      this.#onMessage(rest.toString("utf8", HEADER_BYTES, HEADER_BYTES + length));
      rest = rest.subarray(HEADER_BYTES + length);
    }
    this.#pending = rest;
  }

  #onMessage(text: string): void {
    const message = fieldsOf(text);
    if (message === undefined) {
      this.#break("its first process sent what is no message");
      return;
    }
    const { op, leaf, status, error, bytes } = message;
    if (op === "exit" && isWhole(leaf) && isWhole(status) && status <= MOST_STATUS) {
      if (!this.#events.exit(leaf, status)) this.#break("its first process told of a sandbox that is none");
      return;
    }
    const key = `${String(op)} ${String(leaf)}`;
    const asked = this.#asked.get(key);
    if (asked === undefined) {
      this.#break("its first process told what it was not asked");
      return;
    }
    this.#asked.delete(key);
    clearTimeout(asked.timer);
    asked.answer.resolve({
      ...(typeof error === "string" && { error }),
      ...(isWhole(bytes) && { bytes }),
    });
  }

  #break(reason: string): void {
    this.#end(reason, () => this.#events.broken(reason));
  }

  #end(reason: string, tell: () => void): void {
    if (this.#broken !== undefined) return;
    this.#broken = reason;
    this.#socket.destroy();
    for (const { answer, timer } of this.#asked.values()) {
      clearTimeout(timer);
      answer.reject(gone(reason));
    }
    this.#asked.clear();
    tell();
  }
}

const gone = (reason: string): Error =>
  sandboxError("OL_SANDBOX_CREATE_FAILED", `The container that the sandbox was to be in is lost: ${reason}.`);

const isWhole = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** Undefined if it is no object of JSON. */
const fieldsOf = (text: string): Readonly<Record<string, unknown>> | undefined => {
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    return undefined;
  }
  const isObject = typeof message === "object" && message !== null && !Array.isArray(message);
  return isObject ? (message as Record<string, unknown>) : undefined;
};
