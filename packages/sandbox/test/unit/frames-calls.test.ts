import { describe, expect, it } from "vitest";

import { DEFAULT_WINDOW, END, FRAME, MAX_FRAME_BYTES } from "../../src/frames/codec.ts";
import { Bench, HELLO, READY, aCall, bytes, reply, settle, u32 } from "./frames-kit.ts";

const refused = async (fields: object): Promise<string | undefined> => {
  const bench = new Bench();
  const sink = bench.open({ ...aCall(), ...fields });
  await sink.done;
  expect(bench.writes.length).toBe(1);
  return sink.error?.code;
};

const PIECE = Buffer.alloc(65_536, "x");

describe("a call over frames", () => {
  it("greets first and sends a small call as one write of one frame", async () => {
    const bench = new Bench();
    const call = { ...aCall('{"a":1}'), traceparent: "00-t", rawHeaders: ["Host", "a", "X-Y", "ü"] };
    bench.open(call);
    const [frame] = await bench.sees(FRAME.call);
    expect(bench.writes.length).toBe(2);
    expect(bench.seen[0]?.type).toBe(FRAME.hello);
    expect(bench.seen[0]?.meta).toBe(":v\x001\0:window\x00262144\0:kinds\0call http");
    expect(frame).toEqual({
      type: FRAME.call,
      flags: END,
      id: 1,
      meta: ":id\0id1\0:timeout\x005000\0traceparent\x0000-t\0Host\0a\0X-Y\0ü",
      body: Buffer.from('{"a":1}'),
    });
  });

  it("hands out a reply that came in one piece without copying it", async () => {
    const bench = new Bench();
    const sink = bench.open();
    const chunks: Buffer[] = [];
    bench.socket.prependListener("data", (chunk: Buffer) => chunks.push(chunk));
    bench.say(HELLO, READY, reply(1, "42"));
    await sink.done;
    expect(sink.heard).toEqual(["whole"]);
    expect(sink.body.toString()).toBe("42");
    expect(sink.parts[0]?.buffer).toBe(chunks[0]?.buffer);
    expect(bench.connection.inFlight).toBe(0);
  });

  it("understands traffic that comes byte by byte", async () => {
    const bench = new Bench();
    const first = bench.open();
    const second = bench.open();
    const error = '{"type":"ValueError","message":"no"}';
    const traffic = Buffer.concat([
      HELLO,
      READY,
      reply(1, error, ":error\0exception"),
      bytes(FRAME.reply, 0, 3, "", "ab"),
      bytes(FRAME.data, 0, 3, "", "cd"),
      bytes(0x41, 0, 7, "skip", "me"),
      bytes(FRAME.data, END, 3, "", "ef"),
    ]);
    for (const byte of traffic) bench.guest.write(Buffer.from([byte]));
    await Promise.all([first.done, second.done]);
    expect([first.failure, first.body.toString()]).toEqual(["exception", error]);
    expect(second.heard).toEqual(["start", "chunk", "arrived", "chunk", "end"]);
    expect(second.body.toString()).toBe("abcdef");
    expect(bench.events).toEqual(["ready"]);
  });

  it("keeps several calls apart, whatever the order of their replies", async () => {
    const bench = new Bench();
    const sinks = [1, 2, 3].map(() => bench.open());
    bench.say(HELLO, READY, reply(5, "c"), reply(1, "a"), reply(3, "b"));
    await Promise.all(sinks.map((sink) => sink.done));
    expect(sinks.map((sink) => sink.body.toString())).toEqual(["a", "b", "c"]);
  });

  it("sends an event over 1 MiB on in DATA, as far as the guest's window allows", async () => {
    const bench = new Bench();
    const body = Buffer.alloc(2 * MAX_FRAME_BYTES, "e");
    bench.open(aCall(body));
    const [call] = await bench.sees(FRAME.call);
    const [data] = await bench.sees(FRAME.data);
    await settle();
    expect(call?.flags).toBe(0);
    expect(data?.body.length).toBe(DEFAULT_WINDOW);
    expect(bench.seen.length).toBe(3);
    bench.say(HELLO, bytes(FRAME.window, 0, 1, "", u32(MAX_FRAME_BYTES)));
    const frames = await bench.sees(FRAME.data, 2);
    const sent = Buffer.concat([call?.body ?? Buffer.alloc(0), ...frames.map((frame) => frame.body)]);
    expect(sent.equals(body)).toBe(true);
    expect(frames.at(-1)?.flags).toBe(END);
  });

  it("takes the window of the guest's HELLO for what is sent after it", async () => {
    const bench = new Bench();
    bench.say(bytes(FRAME.hello, 0, 0, ":v\x009\0:window\x00100"));
    await settle();
    bench.open(aCall(Buffer.alloc(MAX_FRAME_BYTES + 1_000)));
    const [data] = await bench.sees(FRAME.data);
    expect(data?.body.length).toBe(100);
    expect(bench.connection.hello).toEqual({ version: 9, window: 100, streams: 1, runtime: "" });
  });

  it("gives credit back only for what the receiver had room for", async () => {
    const bench = new Bench();
    const sink = bench.open();
    sink.roomy = false;
    const pieces = [1, 2, 3, 4].map(() => bytes(FRAME.data, 0, 1, "", PIECE));
    bench.say(HELLO, READY, bytes(FRAME.reply, 0, 1), ...pieces);
    await settle();
    expect(sink.body.length).toBe(PIECE.length);
    expect(bench.seen.some((frame) => frame.type === FRAME.window)).toBe(false);
    sink.roomy = true;
    sink.resume();
    const windows = await bench.sees(FRAME.window, 2);
    expect(windows.map((frame) => frame.body.readUInt32BE())).toEqual([131_072, 131_072]);
    expect(sink.body.length).toBe(4 * PIECE.length);
    bench.say(bytes(FRAME.data, END, 1, "", "end"));
    await sink.done;
    expect(sink.heard).toEqual(["start", "chunk", "arrived", "chunk", "end"]);
  });

  it("tells the receiver that a reply has arrived before it has read it, and how much is unread", async () => {
    const bench = new Bench();
    const sink = bench.open();
    sink.roomy = false;
    bench.say(HELLO, READY, bytes(FRAME.reply, 0, 1, "", "ab"), bytes(FRAME.data, 0, 1, "", "cde"));
    await settle();
    expect(sink.unreadBytes).toBeUndefined();
    bench.say(bytes(FRAME.data, END, 1, "", "f"));
    await settle();
    expect([sink.heard, sink.unreadBytes]).toEqual([["start", "chunk", "arrived"], 6]);
    expect(bench.connection.inFlight).toBe(0);
    sink.roomy = true;
    sink.resume();
    expect([sink.heard.at(-1), sink.body.toString()]).toEqual(["end", "abcdef"]);
  });

  it.each(["cancel", "abandon"] as const)(
    "tells nothing more of a reply that has arrived after %s",
    async (leave) => {
      const bench = new Bench();
      const sinks = [bench.open(), bench.open()];
      for (const sink of sinks) sink.roomy = false;
      // The second one's receiver goes while it hears that it has arrived: before the last piece of it.
      const [first, second] = sinks as [(typeof sinks)[0], (typeof sinks)[0]];
      second.whenArrived = () => second[leave]();
      bench.say(HELLO, READY);
      for (const id of [1, 3])
        bench.say(bytes(FRAME.reply, 0, id, "", "a"), bytes(FRAME.data, END, id, "", "b"));
      await settle();
      first[leave]();
      first.resume();
      await settle();
      for (const { heard } of sinks) expect(heard).toEqual(["start", "chunk", "arrived"]);
      expect(bench.connection.inFlight).toBe(0);
    },
  );

  it("gives the receiver the rest of a complete reply also after the sandbox is gone", async () => {
    const bench = new Bench();
    const sink = bench.open();
    sink.roomy = false;
    bench.say(HELLO, bytes(FRAME.reply, 0, 1, "", "a"), bytes(FRAME.data, END, 1, "", "b"));
    await settle();
    bench.guest.destroy();
    expect(await bench.ended).toBeUndefined();
    sink.roomy = true;
    sink.resume();
    expect([sink.heard.at(-1), sink.body.toString()]).toEqual(["end", "ab"]);
  });

  it("tells an abandoned call nothing more, and keeps its guest going", async () => {
    const bench = new Bench();
    const sink = bench.open();
    sink.roomy = false;
    const pieces = [1, 2, 3].map(() => bytes(FRAME.data, 0, 1, "", PIECE));
    bench.say(HELLO, READY, bytes(FRAME.reply, 0, 1), ...pieces);
    await settle();
    sink.abandon();
    await bench.sees(FRAME.window);
    bench.say(bytes(FRAME.data, END, 1, "", "end"));
    await settle();
    expect(sink.heard).toEqual(["start", "chunk"]);
    expect(bench.connection.inFlight).toBe(0);
  });

  it("ends only the call when its reply has an unknown kind of error, or the guest resets it", async () => {
    const bench = new Bench();
    const sinks = [1, 2, 3].map(() => bench.open());
    bench.say(
      HELLO,
      READY,
      reply(1, "x", ":error\0mood"),
      bytes(FRAME.reset, 0, 3, "", u32(5)),
      reply(5, "ok"),
    );
    await Promise.all(sinks.map((sink) => sink.done));
    expect(sinks.map((sink) => sink.error?.code)).toEqual([
      "OL_SANDBOX_PROTOCOL",
      "OL_SANDBOX_PROTOCOL",
      undefined,
    ]);
    expect(sinks[1]?.error?.details).toEqual({ reset: 5 });
  });

  it("fails the open calls with Python's text when the code cannot be imported", async () => {
    const bench = new Bench();
    const sink = bench.open();
    bench.say(HELLO, bytes(FRAME.event, 0, 0, ":event\0import-error", "SyntaxError: é"));
    expect((await bench.ended)?.message).toBe("SyntaxError: é");
    expect(sink.error?.code).toBe("OL_SANDBOX_IMPORT_FAILED");
  });

  it("passes other events on and answers no call on a connection that is over", async () => {
    const bench = new Bench();
    bench.say(
      HELLO,
      bytes(FRAME.event, 0, 0, ":event\0log", "hi"),
      bytes(FRAME.event, 0, 0, "odd\0one", "x"),
    );
    await settle();
    expect(bench.events).toEqual(["log:hi", ":x"]);
    bench.guest.destroy();
    await bench.ended;
    const sink = bench.open();
    expect(sink.heard).toEqual([]);
    await sink.done;
    expect(sink.error?.code).toBe("OL_SANDBOX_DESTROYED");
  });

  it("measures the round trip of a PING and fails it when the connection does", async () => {
    const bench = new Bench();
    bench.say(HELLO);
    const answered = bench.connection.ping(2_000);
    const [ping] = await bench.sees(FRAME.ping);
    bench.say(bytes(FRAME.ping, END, 0, "", ping?.body));
    expect(await answered).toBeGreaterThanOrEqual(0);
    await expect(bench.connection.ping(5)).rejects.toMatchObject({ code: "OL_SANDBOX_TIMEOUT" });
  });
});

describe("a call's fields", () => {
  it.each([
    ["a NUL in a header's value", { rawHeaders: ["a", "b\0:id\0c"] }],
    ["a character beyond latin-1, whose low byte is a NUL", { rawHeaders: ["a", "\u0100"] }],
    ["a NUL in the invocation's id", { invocationId: "a\0b" }],
    ["a time limit of 0", { timeoutMs: 0 }],
    ["a time limit that is no number", { timeoutMs: Number.NaN }],
  ])("refuses %s", async (_what, fields) => {
    expect(await refused(fields)).toBe("OL_SANDBOX_BAD_OPTIONS");
  });

  it("refuses header fields that are too many or too long", async () => {
    const many = Array.from({ length: 254 * 2 }, () => "x");
    expect(await refused({ rawHeaders: many })).toBe("OL_SANDBOX_HEADERS_TOO_LARGE");
    expect(await refused({ rawHeaders: ["x", "y".repeat(65_535)] })).toBe("OL_SANDBOX_HEADERS_TOO_LARGE");
  });

  it("leaves out a client's fields that would be taken for ours", async () => {
    const bench = new Bench();
    const rawHeaders = [":id", "forged", "TraceParent", "forged", "accept", "*/*"];
    bench.open({ ...aCall(), traceparent: "ours", rawHeaders });
    const [frame] = await bench.sees(FRAME.call);
    expect(frame?.meta).toBe(":id\0id1\0:timeout\x005000\0traceparent\0ours\0accept\0*/*");
  });
});
