import { END, FRAME } from "../../src/frames/codec.ts";
import { READY, bytes, readyAs, reply, u32 } from "../unit/frames-kit.ts";

/** What a guest may say to a worker that has opened streams 1, 3 and 5, its HELLO left out. */
export const TRAFFIC: Buffer = Buffer.concat([
  READY,
  bytes(FRAME.event, 0, 0, ":event\0log", "a line"),
  reply(1, "[1,2,3]"),
  bytes(FRAME.window, 0, 3, "", u32(1000)),
  bytes(FRAME.reply, 0, 3, ":error\0exception", "{"),
  bytes(0x40, 0, 0, "", "ignorable"),
  bytes(FRAME.data, 0, 3, "", "body"),
  bytes(FRAME.data, END, 3, "", "}"),
  bytes(FRAME.reset, 0, 5, "", u32(3)),
]);

/** What an app may say to a worker that has opened streams 1 to 9 as requests, 9 with a body that follows. */
export const APP_TRAFFIC: Buffer = Buffer.concat([
  readyAs("asgi"),
  bytes(FRAME.reply, 0, 3, ":status\x00200\0content-type\0text/plain\0set-cookie\0a=1", "so"),
  bytes(FRAME.window, 0, 9, "", u32(1000)),
  reply(1, "all of it", ":status\x00404\0x-odd\0b"),
  bytes(FRAME.data, 0, 3, "", "me"),
  bytes(FRAME.reply, 0, 9, ":status\x00204"),
  bytes(FRAME.reset, 0, 3, "", u32(3)),
  reply(5, "{}", ":error\0exception"),
  bytes(FRAME.data, END, 9, "", "end"),
  reply(7, "odd", ":status\x00999"),
]);

/** Numbers in [0, 1). */
export type Random = () => number;
const below = (random: Random, limit: number): number => Math.floor(random() * limit);

/** Flips, removes, repeats or inserts a few bytes. */
export const mutate = (random: Random, traffic: Buffer): Buffer => {
  let bytes = Buffer.from(traffic);
  for (let times = 1 + below(random, 4); times > 0; times -= 1) {
    const at = below(random, bytes.length);
    const size = 1 + below(random, 20);
    const [before, piece, after] = [
      bytes.subarray(0, at),
      bytes.subarray(at, at + size),
      bytes.subarray(at + size),
    ];
    const kind = below(random, 4);
    if (kind === 0) bytes[at] = below(random, 256);
    else if (kind === 1) bytes = Buffer.concat([before, after]);
    else if (kind === 2) bytes = Buffer.concat([before, piece, piece, after]);
    else
      bytes = Buffer.concat([before, Buffer.from(Array.from(piece, () => below(random, 256))), piece, after]);
    if (bytes.length === 0) return bytes;
  }
  return bytes;
};

/** The bytes in pieces of random sizes. */
export const pieces = (random: Random, bytes: Buffer): Buffer[] => {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const size = 1 + below(random, random() < 0.5 ? 4 : 200);
    parts.push(bytes.subarray(at, at + size));
    at += size;
  }
  return parts;
};
