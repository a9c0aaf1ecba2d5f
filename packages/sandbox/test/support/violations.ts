import { END, FRAME } from "../../src/frames/codec.ts";
import { HELLO, READY, bytes, reply, u32 } from "../unit/frames-kit.ts";

/** A frame's head alone. */
const head = (length: number, type: number, flags: number, metaLength: number, id: number): Buffer => {
  const frame = Buffer.alloc(12);
  frame.writeUInt32BE(length, 0);
  frame.writeUInt8(type, 4);
  frame.writeUInt8(flags, 5);
  frame.writeUInt16BE(metaLength, 6);
  frame.writeUInt32BE(id, 8);
  return frame;
};
const hello = (meta: string): Buffer => bytes(FRAME.hello, 0, 0, meta);
const started = bytes(FRAME.reply, 0, 1, "", "begin");
const pairs = (count: number): string => Array.from({ length: count * 2 }, () => "x").join("\0");
const overCredit = Buffer.alloc(262_145);

/**
 * What the caller of stream 1 hears: nothing of a reply before the connection's end, a whole reply, or the beginning of
 * one that is broken off.
 */
export type Heard = "nothing" | "whole" | "broken";

/** A name, what the guest says, and what the caller hears if it is not nothing. */
export type Violation = readonly [what: string, said: readonly Buffer[], heard?: Heard];

/** What a guest may say instead of a HELLO; each ends the connection. */
export const GREETINGS: readonly Violation[] = [
  ["garbage", [Buffer.from("\x99".repeat(40), "latin1")]],
  ["HTTP text", [Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")]],
  ["a first frame that is no HELLO", [READY]],
  ["a HELLO of version 0", [hello(":v\x000")]],
  ["a HELLO without a version", [hello(":window\x001000")]],
  ["a HELLO with a window of 0", [hello(":v\x001\0:window\x000")]],
  ["a HELLO with a huge window", [hello(":v\x001\0:window\x004294967296")]],
  ["a HELLO with streams that are no number", [hello(":v\x001\0:streams\0many")]],
  ["a huge HELLO", [bytes(FRAME.hello, 0, 0, `:v\x001\0a\0${"x".repeat(17_000)}`)]],
  ["a HELLO with a body", [bytes(FRAME.hello, 0, 0, ":v\x001", "body")]],
  ["a HELLO on a stream", [bytes(FRAME.hello, 0, 1, ":v\x001")]],
];

/** What a guest may say after its HELLO while stream 1, and no other, is open; each ends the connection. */
export const VIOLATIONS: readonly Violation[] = [
  ["a second HELLO", [HELLO]],
  ["a length of 0xffffffff", [head(0xffffffff, FRAME.reply, END, 0, 1)]],
  ["a length just over 1 MiB", [head(1_048_577, FRAME.reply, END, 0, 1)]],
  ["a meta longer than the frame", [head(10, FRAME.reply, END, 11, 1)]],
  ["unknown flags", [head(0, FRAME.reply, 2, 0, 1)]],
  ["a REPLY for a stream that was never opened", [reply(3, "x")]],
  ["a REPLY for an even stream", [reply(2, "x")]],
  ["a REPLY for stream 0", [reply(0, "x")]],
  ["a CALL", [bytes(FRAME.call, 0, 7, ":id\0x", "1")]],
  ["an HTTP request", [bytes(FRAME.http, 0, 7)]],
  ["an unknown type", [bytes(10)]],
  ["type 0", [bytes(0)]],
  ["a type above the ignorable ones", [bytes(0x80)]],
  ["a huge EVENT", [bytes(FRAME.event, 0, 0, ":event\0log", Buffer.alloc(16_384))]],
  ["code of a kind that does not exist", [bytes(FRAME.event, 0, 0, ":event\0ready\0:kind\0cgi")]],
  ["an EVENT for a stream that is not open", [bytes(FRAME.event, 0, 9, ":event\0log")]],
  ["an EVENT with END", [bytes(FRAME.event, END, 0, ":event\0log")]],
  ["a PING that nobody asked for", [bytes(FRAME.ping, END, 0, "", "12345678")]],
  ["a PING of its own", [bytes(FRAME.ping, 0, 0, "", "12345678")]],
  ["a long PING", [bytes(FRAME.ping, END, 0, "", Buffer.alloc(17))]],
  ["a WINDOW of 0", [bytes(FRAME.window, 0, 1, "", u32(0))]],
  ["a WINDOW that overflows", [bytes(FRAME.window, 0, 1, "", u32(0xffffffff))]],
  ["a WINDOW of three bytes", [bytes(FRAME.window, 0, 1, "", "abc")]],
  ["a WINDOW for the connection", [bytes(FRAME.window, 0, 0, "", u32(5))]],
  ["a RESET without a code", [bytes(FRAME.reset, 0, 1)]],
  ["a RESET for a stream that is not open", [bytes(FRAME.reset, 0, 3, "", u32(1))]],
  ["two REPLYs", [started, started], "broken"],
  ["two whole REPLYs", [reply(1, "a"), reply(1, "b")], "whole"],
  ["DATA before REPLY", [bytes(FRAME.data, 0, 1, "", "x")]],
  ["DATA after END", [reply(1, "a"), bytes(FRAME.data, END, 1, "", "b")], "whole"],
  ["a frame after RESET", [bytes(FRAME.reset, 0, 1, "", u32(3)), reply(1, "x")]],
  ["meta in the middle of a body", [started, bytes(FRAME.data, 0, 1, "a\0b", "x")], "broken"],
  ["meta that is not pairs", [reply(1, "x", "alone")]],
  ["meta with 257 pairs", [reply(1, "x", pairs(257))]],
  ["16,000 headers", [reply(1, "x", pairs(16_000))]],
  ["DATA beyond its credit", [started, bytes(FRAME.data, 0, 1, "", overCredit)], "broken"],
];
