import { DEFAULT_WINDOW, EMPTY, END, FRAME, encodeUint32, metaField } from "../frames/codec.ts";

/** Largest piece of a reply in one frame. */
const PIECE_BYTES = 65_536;

/** Writes a frame to the worker. */
export type FakeWrite = (type: number, flags: number, id: number, meta: string, body?: Buffer) => void;

/** One call in a fake guest: what has come of its body, and what was said in reply. */
export class FakeCall {
  readonly id: number;
  /** Name, value, name, value ... of the frame that opened it. */
  readonly fields: readonly string[];
  /** Whether it was opened as an HTTP request. */
  readonly http: boolean;
  readonly #write: FakeWrite;
  readonly #stop = new AbortController();
  readonly #waiting: (() => void)[] = [];
  #parts: Buffer[] = [];
  #credit = DEFAULT_WINDOW;
  /** Bytes of DATA that wait in `#parts`. */
  #owed = 0;
  /** Whether its body is there in full. */
  complete = false;
  /** Whether the code runs for it. */
  begun = false;
  /** Whether its reply has begun. */
  replied = false;
  /** Whether its last frame was sent. */
  ended = false;
  /** The code of the worker's RESET; 0 if there was none. */
  resetCode = 0;

  constructor(id: number, fields: readonly string[], http: boolean, write: FakeWrite) {
    this.id = id;
    this.fields = fields;
    this.http = http;
    this.#write = write;
  }

  /** Aborted when the worker resets the call, or is gone. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  field(name: string): string {
    return metaField(this.fields, name) ?? "";
  }

  /** A piece of the body came, in DATA or in the frame that opened it. */
  take(data: Buffer, inData: boolean): void {
    this.#parts.push(data);
    if (inData) this.#owed += data.length;
  }

  /** The frame is over; `ends` if it was the body's last. */
  taken(ends: boolean): void {
    this.complete = ends;
    this.#wake();
  }

  /** Gives credit for what has come. */
  giveCredit(): void {
    if (this.#owed > 0 && !this.complete) this.#write(FRAME.window, 0, this.id, "", encodeUint32(this.#owed));
    this.#owed = 0;
  }

  credit(bytes: number): void {
    this.#credit += bytes;
    this.#wake();
  }

  /** `code` is 0 if the worker is gone. */
  stop(code: number): void {
    this.resetCode = code;
    this.#stop.abort();
    this.#wake();
  }

  /** All of the body, which is there in full. */
  whole(): Buffer {
    return Buffer.concat(this.#parts);
  }

  /** The body as it comes. What was taken is given back as credit when the next is asked for. */
  async *pieces(): AsyncGenerator<Buffer, void, undefined> {
    for (;;) {
      this.signal.throwIfAborted();
      const parts = this.#parts;
      this.#parts = [];
      yield* parts;
      if (parts.length > 0) this.giveCredit();
      else if (this.complete) return;
      else await this.#change();
    }
  }

  /**
   * Sends a piece of the reply as credit allows, the first of them as REPLY with this meta. Fails when the worker resets
   * the call.
   */
  async send(meta: string, body: Buffer, last: boolean): Promise<void> {
    let rest = body;
    while (!this.ended) {
      this.signal.throwIfAborted();
      const room = this.replied ? this.#credit : PIECE_BYTES;
      const piece = rest.subarray(0, Math.min(room, PIECE_BYTES));
      if (piece.length < rest.length && room === 0) await this.#change();
      else this.#sendPiece(meta, piece, last && piece.length === rest.length);
      rest = rest.subarray(piece.length);
      if (rest.length === 0 && !last) return;
    }
  }

  /** The last frame for a call that is not answered, or not to its end. */
  sendReset(code: number): void {
    if (this.ended) return;
    this.ended = true;
    this.#write(FRAME.reset, 0, this.id, "", encodeUint32(code));
  }

  #sendPiece(meta: string, piece: Buffer, last: boolean): void {
    if (this.replied) this.#credit -= piece.length;
    const type = this.replied ? FRAME.data : FRAME.reply;
    this.#write(type, last ? END : 0, this.id, type === FRAME.reply ? meta : "", piece);
    this.replied = true;
    this.ended = last;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** A request as a fake app sees it. */
export interface FakeRequest {
  readonly method: string;
  readonly mount: string;
  readonly path: string;
  readonly query: string;
  readonly client: string;
  /** The body as it comes; fails when the call is reset. */
  readonly body: AsyncIterable<Buffer>;
}

/** What a fake app answers with. Everything fails when the call is reset. */
export interface FakeReply {
  /** The head, sent as it is with the first piece; `fields` are name, value, name, value ... */
  start(status: number | string, fields?: readonly string[]): void;
  /** Settles when it is sent. */
  write(data: Buffer): Promise<void>;
  end(data?: Buffer): Promise<void>;
}

/** The reply of a fake app to one call. */
export class FakeAppReply implements FakeReply {
  readonly #call: FakeCall;
  #meta: string | undefined;

  constructor(call: FakeCall) {
    this.#call = call;
  }

  start(status: number | string, fields: readonly string[] = []): void {
    this.#meta = [":status", String(status), ...fields].join("\0");
  }

  write(data: Buffer): Promise<void> {
    return this.#send(data, false);
  }

  end(data: Buffer = EMPTY): Promise<void> {
    return this.#send(data, true);
  }

  async #send(data: Buffer, last: boolean): Promise<void> {
    if (this.#meta === undefined) throw new Error("the reply was not started");
    await this.#call.send(this.#meta, data, last);
  }
}
