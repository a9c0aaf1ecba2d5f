import { describe, expect, it } from "vitest";

import { END, FRAME } from "../../src/frames/codec.ts";
import { Bench, HELLO, READY, bytes, reply, settle, u32 } from "./frames-kit.ts";

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
const half = Buffer.alloc(131_072);

/** What a guest may say to a worker that has opened stream 1; each ends the connection. */
const VIOLATIONS: readonly [string, Buffer[]][] = [
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
  ["a second HELLO", [HELLO, HELLO]],
  ["a length of 0xffffffff", [HELLO, head(0xffffffff, FRAME.reply, END, 0, 1)]],
  ["a length just over 1 MiB", [HELLO, head(1_048_577, FRAME.reply, END, 0, 1)]],
  ["a meta longer than the frame", [HELLO, head(10, FRAME.reply, END, 11, 1)]],
  ["unknown flags", [HELLO, head(0, FRAME.reply, 2, 0, 1)]],
  ["a REPLY for a stream that was never opened", [HELLO, reply(3, "x")]],
  ["a REPLY for an even stream", [HELLO, reply(2, "x")]],
  ["a REPLY for stream 0", [HELLO, reply(0, "x")]],
  ["a CALL", [HELLO, bytes(FRAME.call, 0, 7, ":id\0x", "1")]],
  ["an HTTP request", [HELLO, bytes(FRAME.http, 0, 7)]],
  ["an unknown type", [HELLO, bytes(10)]],
  ["type 0", [HELLO, bytes(0)]],
  ["a type above the ignorable ones", [HELLO, bytes(0x80)]],
  ["a huge EVENT", [HELLO, bytes(FRAME.event, 0, 0, ":event\0log", Buffer.alloc(16_384))]],
  ["an EVENT for a stream that is not open", [HELLO, bytes(FRAME.event, 0, 9, ":event\0log")]],
  ["an EVENT with END", [HELLO, bytes(FRAME.event, END, 0, ":event\0log")]],
  ["a PING that nobody asked for", [HELLO, bytes(FRAME.ping, END, 0, "", "12345678")]],
  ["a PING of its own", [HELLO, bytes(FRAME.ping, 0, 0, "", "12345678")]],
  ["a long PING", [HELLO, bytes(FRAME.ping, END, 0, "", Buffer.alloc(17))]],
  ["a WINDOW of 0", [HELLO, bytes(FRAME.window, 0, 1, "", u32(0))]],
  ["a WINDOW that overflows", [HELLO, bytes(FRAME.window, 0, 1, "", u32(0xffffffff))]],
  ["a WINDOW of three bytes", [HELLO, bytes(FRAME.window, 0, 1, "", "abc")]],
  ["a WINDOW for the connection", [HELLO, bytes(FRAME.window, 0, 0, "", u32(5))]],
  ["a RESET without a code", [HELLO, bytes(FRAME.reset, 0, 1)]],
  ["a RESET for a stream that is not open", [HELLO, bytes(FRAME.reset, 0, 3, "", u32(1))]],
  ["two REPLYs", [HELLO, started, started]],
  ["two whole REPLYs", [HELLO, reply(1, "a"), reply(1, "b")]],
  ["DATA before REPLY", [HELLO, bytes(FRAME.data, 0, 1, "", "x")]],
  ["DATA after END", [HELLO, reply(1, "a"), bytes(FRAME.data, END, 1, "", "b")]],
  ["a frame after RESET", [HELLO, bytes(FRAME.reset, 0, 1, "", u32(3)), reply(1, "x")]],
  ["meta in the middle of a body", [HELLO, started, bytes(FRAME.data, 0, 1, "a\0b", "x")]],
  ["meta that is not pairs", [HELLO, reply(1, "x", "alone")]],
  ["meta with 257 pairs", [HELLO, reply(1, "x", pairs(257))]],
  ["16,000 headers", [HELLO, reply(1, "x", pairs(16_000))]],
  ["DATA beyond its credit", [HELLO, started, ...[1, 2, 3].map(() => bytes(FRAME.data, 0, 1, "", half))]],
];

describe("a guest that breaks the protocol", () => {
  it.each(VIOLATIONS)("is cut off for %s", async (_what, said) => {
    // At once, and not only because a timer ran out.
    const bench = new Bench({ helloMs: 60_000, partialFrameMs: 60_000 });
    const sink = bench.open();
    sink.roomy = false;
    bench.say(...said);
    const error = await bench.ended;
    expect(error?.code).toBe("OL_SANDBOX_PROTOCOL");
    await settle();
    expect(bench.socket.destroyed).toBe(true);
    const late = sink.heard.at(-1);
    expect(["whole", "fail"]).toContain(late);
  });

  it("is cut off when it says nothing", async () => {
    const bench = new Bench({ helloMs: 20 });
    expect((await bench.ended)?.message).toMatch(/no HELLO within 20 ms/);
  });

  it("is cut off for half a frame, also when it trickles on", async () => {
    const bench = new Bench({ partialFrameMs: 30 });
    bench.say(HELLO, reply(1, "").subarray(0, 5));
    const trickle = setInterval(() => bench.guest.write("x"), 10);
    bench.open();
    const error = await bench.ended;
    clearInterval(trickle);
    expect(error?.code).toBe("OL_SANDBOX_PROTOCOL");
  });

  it("is cut off when it never reads although it is idle", async () => {
    const bench = new Bench({ writeStallMs: 30 });
    bench.guest.pause();
    bench.say(HELLO, READY);
    await settle();
    bench.open({ invocationId: "a", body: Buffer.alloc(1_000_000), timeoutMs: 5_000 });
    bench.open({ invocationId: "b", body: Buffer.alloc(1_000_000), timeoutMs: 5_000 });
    expect((await bench.ended)?.message).toMatch(/nothing read/);
  });

  it("is not cut off for not reading while it loads its code", async () => {
    const bench = new Bench({ writeStallMs: 20 });
    bench.guest.pause();
    bench.say(HELLO);
    const sinks = [1, 2].map(() =>
      bench.open({ invocationId: "a", body: Buffer.alloc(1_000_000), timeoutMs: 5_000 }),
    );
    await new Promise((resolve) => setTimeout(resolve, 80));
    bench.guest.resume();
    bench.say(READY, reply(1, "1"), reply(3, "2"));
    await Promise.all(sinks.map((sink) => sink.done));
    expect(sinks.map((sink) => sink.heard)).toEqual([["whole"], ["whole"]]);
  });

  it("is read from slowly when it floods, and not cut off", async () => {
    const bench = new Bench();
    const sink = bench.open();
    const flood = Buffer.concat(Array.from({ length: 3_000 }, () => bytes(FRAME.event, 0, 0, ":event\0x")));
    const beginMs = performance.now();
    bench.say(HELLO, READY, flood);
    await settle();
    bench.say(reply(1, "still served"));
    await sink.done;
    expect(sink.body.toString()).toBe("still served");
    // 3,000 events against a burst of 2,000 and 5,000 a second.
    expect(performance.now() - beginMs).toBeGreaterThan(150);
  });

  it("that closes in the middle of a body leaves the reason to the owner", async () => {
    const bench = new Bench();
    const sink = bench.open();
    bench.say(HELLO, READY, bytes(FRAME.reply, 0, 1, "", "some"));
    bench.guest.end();
    expect(await bench.ended).toBeUndefined();
    expect(sink.heard).toEqual(["start", "chunk"]);
  });
});
