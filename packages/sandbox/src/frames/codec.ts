import type { Duplex } from "node:stream";

/** Bytes before meta and body: u32 length, u8 type, u8 flags, u16 metaLength, u32 stream, big-endian. */
export const HEAD_BYTES = 12;
/** Most bytes of meta and body together; bounds what one frame can make a receiver collect. */
export const MAX_FRAME_BYTES = 1_048_576;
/** metaLength is a u16. */
export const MAX_META_BYTES = 65_535;
/** Most name-value pairs in one frame's meta; bounds the cost of reading it. */
export const MAX_META_PAIRS = 256;
/** Most bytes of an EVENT or a HELLO, meta and body together. */
export const MAX_EVENT_BYTES = 16_384;
/** Credit of a stream and direction before the peer's HELLO is read, and the window we announce, in body bytes. */
export const DEFAULT_WINDOW = 262_144;
/** The highest version of the protocol that is spoken here. */
export const PROTOCOL_VERSION = 1;
/** Up to here one buffer and one write are cheaper than two buffers in one writev. */
const ONE_WRITE_BYTES = 16_384;

/** Frame types. 0x40 to 0x7f are extensions that whoever does not know them skips. */
export const FRAME = {
  hello: 1,
  call: 2,
  http: 3,
  reply: 4,
  data: 5,
  window: 6,
  reset: 7,
  event: 8,
  ping: 9,
} as const;

/** Flag: the last frame of its direction of the stream. The other seven bits are zero. */
export const END = 1;

/** Why a stream was given up. */
// `refused` from a guest says that it has not begun the call; from the worker, that it is to give the call back if so.
export const RESET_CODE = { cancelled: 1, deadline: 2, failed: 3, content: 4, refused: 5 } as const;

/** Whether a receiver skips frames of this type. */
export const isIgnorable = (type: number): boolean => type >= 0x40 && type <= 0x7f;

/** What the peer did against the protocol. Only thrown and caught inside frames/. */
export class FrameViolation extends Error {}

export const EMPTY: Buffer = Buffer.alloc(0);

/** Writes a frame's first 12 bytes. Byte by byte, since Buffer's write methods check their arguments each time. */
const writeHead = (
  target: Buffer,
  type: number,
  flags: number,
  stream: number,
  metaLength: number,
  length: number,
): void => {
  target[0] = length >>> 24;
  target[1] = length >>> 16;
  target[2] = length >>> 8;
  target[3] = length;
  target[4] = type;
  target[5] = flags;
  target[6] = metaLength >>> 8;
  target[7] = metaLength;
  target[8] = stream >>> 24;
  target[9] = stream >>> 16;
  target[10] = stream >>> 8;
  target[11] = stream;
};

/** One frame as one buffer. `meta` is latin-1 text of at most 65,535 characters; nothing is checked here. */
export const encodeFrame = (
  type: number,
  flags: number,
  stream: number,
  meta: string,
  body: Buffer,
): Buffer => {
  const bodyAt = HEAD_BYTES + meta.length;
  const frame = Buffer.allocUnsafe(bodyAt + body.length);
  writeHead(frame, type, flags, stream, meta.length, meta.length + body.length);
  if (meta.length > 0) frame.write(meta, HEAD_BYTES, "latin1");
  if (body.length > 0) body.copy(frame, bodyAt);
  return frame;
};

/** Writes one frame in one write or one writev; returns what `write` returned (false: buffer full). */
export const writeFrame = (
  socket: Duplex,
  type: number,
  flags: number,
  stream: number,
  meta: string,
  body: Buffer,
): boolean => {
  if (HEAD_BYTES + meta.length + body.length <= ONE_WRITE_BYTES)
    return socket.write(encodeFrame(type, flags, stream, meta, body));
  const head = Buffer.allocUnsafe(HEAD_BYTES + meta.length);
  writeHead(head, type, flags, stream, meta.length, meta.length + body.length);
  if (meta.length > 0) head.write(meta, HEAD_BYTES, "latin1");
  socket.cork();
  socket.write(head);
  const roomy = socket.write(body);
  socket.uncork();
  return roomy;
};

/** A u32 as a body: WINDOW's credit, RESET's code. */
export const encodeUint32 = (value: number): Buffer => {
  const body = Buffer.allocUnsafe(4);
  body.writeUInt32BE(value);
  return body;
};

/** Reads meta into name, value, name, value ... Throws FrameViolation when it is not pairs. */
export const splitMeta = (meta: Buffer): string[] => {
  if (meta.length === 0) return [];
  const strings = meta.toString("latin1").split("\0");
  if (strings.length % 2 !== 0) throw new FrameViolation("meta that does not consist of pairs");
  return strings;
};

/** As `splitMeta`; throws FrameViolation when it is too many pairs, too. */
export const decodeMeta = (meta: Buffer): string[] => {
  const strings = splitMeta(meta);
  if (strings.length > 2 * MAX_META_PAIRS)
    throw new FrameViolation(`meta with more than ${MAX_META_PAIRS} pairs`);
  return strings;
};

/** The value of the first field with this name. */
export const metaField = (pairs: readonly string[], name: string): string | undefined => {
  for (let at = 0; at + 1 < pairs.length; at += 2) if (pairs[at] === name) return pairs[at + 1];
  return undefined;
};
