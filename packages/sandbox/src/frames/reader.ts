import {
  EMPTY,
  FRAME,
  FrameViolation,
  HEAD_BYTES,
  MAX_EVENT_BYTES,
  MAX_FRAME_BYTES,
  isIgnorable,
} from "./codec.ts";

/** Receives frames. Either method may throw FrameViolation. */
export interface FrameHandler {
  /**
   * A frame. `left` bytes of its body are still to come by `more`, more than zero only for REPLY, DATA and the
   * ignorable types. `meta` and `body` are slices of what was pushed, no copies.
   */
  frame(type: number, flags: number, stream: number, meta: Buffer, body: Buffer, left: number): void;
  /** More of the last frame's body; `left` bytes are still to come after it. */
  more(data: Buffer, left: number): void;
}

/** A REPLY up to this size is collected when it comes in pieces, so that its receiver knows its length. */
const COLLECT_BYTES = 65_536;

/** Largest meta + body of the types that have a smaller limit than a frame. */
const maxLengthOf = (type: number): number => {
  switch (type) {
    case FRAME.hello:
    case FRAME.event:
      return MAX_EVENT_BYTES;
    case FRAME.ping:
      return 16;
    case FRAME.window:
    case FRAME.reset:
      return 4;
    default:
      return MAX_FRAME_BYTES;
  }
};

/**
 * Cuts a byte stream into frames. A frame that lies in one chunk costs no copy; of one that does not, only the
 * head, meta and small bodies are collected. Checks what can be checked without knowing the streams.
 */
export class FrameReader {
  readonly #handler: FrameHandler;
  /** Frames begun, which tells two unfinished ones apart. */
  #begun = 0;
  #store: Buffer = EMPTY;
  #held = 0;
  #left = 0;
  #stopped = false;

  constructor(handler: FrameHandler) {
    this.#handler = handler;
  }

  /** The number of the frame of which only a part has come, else 0. */
  get partial(): number {
    return this.#held > 0 || this.#left > 0 ? this.#begun : 0;
  }

  /** Ignores the rest, also of a chunk being read. */
  stop(): void {
    this.#stopped = true;
    this.#store = EMPTY;
  }

  /** Throws FrameViolation, its own or the handler's; nothing may be pushed after that. */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.#stopped) {
      if (this.#left > 0) at = this.#pass(chunk, at);
      else if (this.#held > 0) at = this.#collect(chunk, at);
      else at = this.#begin(chunk, at);
    }
  }

  #pass(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#left);
    this.#left -= end - at;
    this.#handler.more(chunk.subarray(at, end), this.#left);
    return end;
  }

  #begin(chunk: Buffer, at: number): number {
    this.#begun += 1;
    const available = chunk.length - at;
    if (available >= HEAD_BYTES) {
      const needed = neededAt(chunk, at);
      if (available >= needed) return this.#dispatch(chunk, at);
      this.#store = Buffer.allocUnsafe(needed);
    } else {
      this.#store = Buffer.allocUnsafe(HEAD_BYTES);
    }
    chunk.copy(this.#store, 0, at);
    this.#held = available;
    return chunk.length;
  }

  #collect(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#store.length - this.#held);
    chunk.copy(this.#store, this.#held, at, end);
    this.#held += end - at;
    if (this.#held < this.#store.length) return end;
    const needed = this.#held === HEAD_BYTES ? neededAt(this.#store, 0) : this.#held;
    const store = this.#store;
    if (needed > this.#held) {
      this.#store = Buffer.allocUnsafe(needed);
      store.copy(this.#store);
      return end;
    }
    this.#store = EMPTY;
    this.#held = 0;
    this.#dispatch(store, 0);
    return end;
  }

  /** Hands out the frame that begins at `at`; returns where it, or what is there of it, ends. */
  #dispatch(bytes: Buffer, at: number): number {
    const length = bytes.readUInt32BE(at);
    const metaLength = bytes.readUInt16BE(at + 6);
    const metaAt = at + HEAD_BYTES;
    const bodyAt = metaAt + metaLength;
    const end = Math.min(bytes.length, metaAt + length);
    const left = metaAt + length - end;
    this.#left = left;
    this.#handler.frame(
      bytes[at + 4] as number,
      bytes[at + 5] as number,
      bytes.readUInt32BE(at + 8),
      metaLength === 0 ? EMPTY : bytes.subarray(metaAt, bodyAt),
      end === bodyAt ? EMPTY : bytes.subarray(bodyAt, end),
      left,
    );
    return end;
  }
}

/** Checks a frame's head; returns how much of the frame must be there before it can be handed out. */
const neededAt = (bytes: Buffer, at: number): number => {
  const length = bytes.readUInt32BE(at);
  const type = bytes[at + 4] as number;
  const metaLength = bytes.readUInt16BE(at + 6);
  const known = (type >= FRAME.hello && type <= FRAME.ping) || isIgnorable(type);
  if (!known) throw new FrameViolation(`a frame of the unknown type ${type}`);
  if (length > maxLengthOf(type))
    throw new FrameViolation(`a frame of type ${type} and the length ${length}`);
  if (metaLength > length) throw new FrameViolation("a frame whose meta is longer than itself");
  if (((bytes[at + 5] as number) & 0xfe) !== 0) throw new FrameViolation("a frame with unknown flags");
  const passedOn =
    type === FRAME.data || isIgnorable(type) || (type === FRAME.reply && length > COLLECT_BYTES);
  return HEAD_BYTES + (passedOn ? metaLength : length);
};
