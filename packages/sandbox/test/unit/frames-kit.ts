import type { Duplex } from "node:stream";

import type { OlError } from "@ol/common";
import { onTestFinished } from "vitest";

import type { Call, CallFailure, CallHandle, CodeKind, ReplyHead, ReplySink } from "../../src/frames/call.ts";
import { END, FRAME, encodeFrame } from "../../src/frames/codec.ts";
import type { ConnectionTimers } from "../../src/frames/connection-options.ts";
import { GuestConnection } from "../../src/frames/connection.ts";
import { FrameReader } from "../../src/frames/reader.ts";
import { socketPair } from "../../src/testing/socket-pair.ts";

/** A frame as the guest's side saw it. */
export interface SeenFrame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly meta: string;
  readonly body: Buffer;
}

/** One frame's bytes. */
export const bytes = (type: number, flags = 0, id = 0, meta = "", body: string | Buffer = ""): Buffer =>
  encodeFrame(type, flags, id, meta, Buffer.from(body));

export const u32 = (value: number): Buffer => {
  const body = Buffer.alloc(4);
  body.writeUInt32BE(value);
  return body;
};

export const HELLO: Buffer = bytes(FRAME.hello, 0, 0, ":v\x001\0:window\x00262144\0:streams\x002");
export const READY: Buffer = bytes(FRAME.event, 0, 0, ":event\0ready");
/** The code is loaded, and is an app. */
export const readyAs = (kind: CodeKind): Buffer => bytes(FRAME.event, 0, 0, `:event\0ready\0:kind\0${kind}`);
export const reply = (id: number, body: string | Buffer, meta = ""): Buffer =>
  bytes(FRAME.reply, END, id, meta, body);

export const aCall = (body: string | Buffer = "1", timeoutMs = 5_000): Call => ({
  invocationId: "id1",
  body: Buffer.from(body),
  timeoutMs,
});

/** A call that is an HTTP request. */
export const aRequest = (fields: Partial<Call> = {}): Call => ({
  ...aCall(""),
  http: { method: "PUT", mount: "/run/x", path: "/a%20b", query: "q=1", client: "192.0.2.7" },
  ...fields,
});

/** A sink that notes what it hears and whether that was in a legal order. */
export class Recorder implements ReplySink {
  readonly heard: string[] = [];
  failure: CallFailure | undefined;
  head: ReplyHead | undefined;
  /** How often it was told that there is room. */
  drains = 0;
  readonly parts: Buffer[] = [];
  error: OlError | undefined;
  /** What it was told of a reply that has arrived. */
  unreadBytes: number | undefined;
  whenArrived: () => void = () => undefined;
  /** What `chunk` returns. */
  roomy = true;
  readonly done: Promise<void>;
  #settle: () => void = () => undefined;

  constructor() {
    this.done = new Promise((resolve) => (this.#settle = resolve));
  }

  get body(): Buffer {
    return Buffer.concat(this.parts);
  }

  whole(failure: CallFailure | undefined, body: Buffer, head?: ReplyHead): void {
    this.failure = failure;
    this.head = head;
    this.parts.push(body);
    this.#last("whole");
  }

  start(failure: CallFailure | undefined, head?: ReplyHead): void {
    this.failure = failure;
    this.head = head;
    this.heard.push("start");
  }

  chunk(data: Buffer): boolean {
    this.parts.push(data);
    if (this.heard.at(-1) !== "chunk") this.heard.push("chunk");
    return this.roomy;
  }

  arrived(unreadBytes: number): void {
    this.unreadBytes = unreadBytes;
    this.heard.push("arrived");
    this.whenArrived();
  }

  end(): void {
    this.#last("end");
  }

  drain(): void {
    this.drains += 1;
  }

  fail(error: OlError): void {
    this.error = error;
    this.#last("fail");
  }

  #last(what: string): void {
    this.heard.push(what);
    this.#settle();
  }
}

/** A connection with a guest that only does what a test says. */
export class Bench {
  readonly connection: GuestConnection;
  readonly socket: Duplex;
  readonly guest: Duplex;
  readonly seen: SeenFrame[] = [];
  /** Each `write` of the connection: its size. */
  readonly writes: number[] = [];
  readonly events: string[] = [];
  readonly ended: Promise<OlError | undefined>;
  #settleEnded: (error: OlError | undefined) => void = () => undefined;
  #waiting: (() => void)[] = [];
  #pieces: Buffer[] = [];
  #head: Omit<SeenFrame, "body"> | undefined;

  constructor(timers: Partial<ConnectionTimers> = {}) {
    [this.socket, this.guest] = socketPair();
    const write = this.socket.write.bind(this.socket);
    this.socket.write = ((chunk: Buffer) => {
      this.writes.push(chunk.length);
      return write(chunk);
    }) as Duplex["write"];
    const reader = new FrameReader({
      frame: (type, flags, id, meta, body, left) => {
        this.#head = { type, flags, id, meta: meta.toString("latin1") };
        this.#pieces = [];
        this.#piece(body, left);
      },
      more: (data, left) => this.#piece(data, left),
    });
    this.guest.on("data", (chunk: Buffer) => reader.push(chunk));
    this.guest.on("error", () => undefined);
    this.ended = new Promise((resolve) => (this.#settleEnded = resolve));
    const owner = {
      ready: () => void this.events.push("ready"),
      retiring: () => void this.events.push("retiring"),
      ended: (error: OlError | undefined) => this.#settleEnded(error),
      event: (name: string, body: Buffer) => void this.events.push(`${name}:${body.toString()}`),
    };
    this.connection = new GuestConnection(this.socket, owner, timers);
    onTestFinished(() => {
      this.guest.destroy();
      this.socket.destroy();
    });
  }

  open(call: Call = aCall()): Recorder & CallHandle {
    const sink = new Recorder();
    const handle = this.connection.open(call, sink);
    return Object.assign(sink, {
      resume: () => handle.resume(),
      abandon: () => handle.abandon(),
      cancel: () => handle.cancel(),
      write: (data: Buffer) => handle.write(data),
      endBody: () => handle.endBody(),
    });
  }

  /** Sends the guest's bytes. */
  say(...parts: Buffer[]): void {
    this.guest.write(Buffer.concat(parts));
  }

  /** Waits until the guest has seen `count` frames of this type. */
  async sees(type: number, count = 1): Promise<SeenFrame[]> {
    for (;;) {
      const found = this.seen.filter((frame) => frame.type === type);
      if (found.length >= count) return found;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** The codes of the RESETs that the guest has seen, each with its stream. */
  get resets(): [id: number, code: number][] {
    return this.seen
      .filter(({ type }) => type === FRAME.reset)
      .map(({ id, body }) => [id, body.readUInt32BE()]);
  }

  #piece(data: Buffer, left: number): void {
    this.#pieces.push(data);
    if (left > 0 || this.#head === undefined) return;
    this.seen.push({ ...this.#head, body: Buffer.concat(this.#pieces) });
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** Something to wait for until a test opens it. */
export class Gate {
  readonly opened: Promise<void>;
  #open: () => void = () => undefined;

  constructor() {
    this.opened = new Promise((resolve) => (this.#open = resolve));
  }

  open(): void {
    this.#open();
  }
}

/** A few turns of the event loop, enough for what was written to be dealt with. */
export const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 8; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

/** Numbers in [0, 1) that a seed decides (mulberry32). */
export const seededRandom = (seed: number): (() => number) => {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
};
