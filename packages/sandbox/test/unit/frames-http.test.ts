import { describe, expect, it } from "vitest";

import { sandboxError } from "../../src/errors.ts";
import type { CodeKind } from "../../src/frames/call.ts";
import { DEFAULT_WINDOW, END, FRAME, MAX_FRAME_BYTES } from "../../src/frames/codec.ts";
import { isNotStarted } from "../../src/not-started.ts";
import { Bench, HELLO, aCall, aRequest, bytes, readyAs, reply, settle, u32 } from "./frames-kit.ts";

const [CANCELLED, CONTENT] = [1, 4];

const ready = async (kind: CodeKind): Promise<Bench> => {
  const bench = new Bench();
  bench.say(HELLO, readyAs(kind));
  await settle();
  return bench;
};

const head = (fields: string, flags = END, id = 1, body = ""): Buffer =>
  bytes(FRAME.reply, flags, id, fields, body);
const reset = (id: number, code: number): Buffer => bytes(FRAME.reset, 0, id, "", u32(code));
const fields = (count: number): string => Array.from({ length: count }, () => "\0a\0b").join("");

describe("an HTTP request over frames", () => {
  it("opens with its method, path, query and client before the client's fields", async () => {
    const bench = new Bench();
    const rawHeaders = ["Host", "a", ":path", "/forged", "Traceparent", "forged"];
    bench.open(aRequest({ body: Buffer.from("body"), traceparent: "00-t", rawHeaders }));
    const [frame] = await bench.sees(FRAME.http);
    expect(frame).toEqual({
      type: FRAME.http,
      flags: END,
      id: 1,
      meta:
        ":id\0id1\0:timeout\x005000\0:method\0PUT\0:mount\0/run/x\0:path\0/a%20b\0:query\0q=1" +
        "\0:client\x00192.0.2.7\0traceparent\x0000-t\0Host\0a",
      body: Buffer.from("body"),
    });
  });

  it.each([
    ["a path that is not latin-1", "OL_SANDBOX_BAD_OPTIONS", { path: "/\u0100" }, []],
    ["a NUL in its query", "OL_SANDBOX_BAD_OPTIONS", { query: "a\0:client\0b" }, []],
    ["a query that is too long", "OL_SANDBOX_HEADERS_TOO_LARGE", { query: "q".repeat(65_536) }, []],
    ["too many header fields", "OL_SANDBOX_HEADERS_TOO_LARGE", {}, Array<string>(2 * 249).fill("a")],
  ])("is refused for %s", async (_what, code, part, rawHeaders) => {
    const bench = new Bench();
    const { http } = aRequest();
    const sink = bench.open(aRequest({ http: { ...http, ...part } as typeof http & object, rawHeaders }));
    await sink.done;
    expect(sink.error?.code).toBe(code);
    expect(bench.writes.length).toBe(1);
  });

  it("takes as many header fields as fit", async () => {
    const bench = new Bench();
    bench.open(aRequest({ traceparent: "t", rawHeaders: Array<string>(2 * 248).fill("a") }));
    const [frame] = await bench.sees(FRAME.http);
    expect(frame?.meta.split("\0").length).toBe(2 * 256);
  });

  it("is answered by a function like every call", async () => {
    const bench = await ready("function");
    const sinks = [bench.open(aRequest()), bench.open(aRequest())];
    bench.say(reply(1, "42"), reply(3, "{}", ":error\0exception"));
    await settle();
    expect(sinks.map((sink) => [sink.failure, sink.head, sink.body.toString()])).toEqual([
      [undefined, undefined, "42"],
      ["exception", undefined, "{}"],
    ]);
  });

  it("says what the code is once it is loaded", async () => {
    const kinds = ["function", "wsgi", "asgi"] as const;
    const benches = await Promise.all(kinds.map((kind) => ready(kind)));
    expect(benches.map(({ connection }) => connection.kind)).toEqual(kinds);
    expect(new Bench().connection.kind).toBeUndefined();
  });
});

describe("the reply of an app", () => {
  it("has a status and header fields, and its bytes as they are", async () => {
    const bench = await ready("wsgi");
    const sink = bench.open(aRequest());
    const meta = ":status\x00201\0:later\0x\0Set-Cookie\0a=1\0Set-Cookie\0b=\xe9\0X-Empty\0";
    bench.say(head(meta, END, 1, "\0\x01"));
    await sink.done;
    expect(sink.heard).toEqual(["whole"]);
    expect(sink.head).toEqual({
      status: 201,
      headers: ["Set-Cookie", "a=1", "Set-Cookie", "b=\xe9", "X-Empty", ""],
    });
    expect(sink.body.toString()).toBe("\0\x01");
  });

  it("may come in pieces", async () => {
    const bench = await ready("asgi");
    const sink = bench.open(aRequest());
    bench.say(head(":status\x00599\0a\0b", 0, 1, "so"));
    await settle();
    expect([sink.heard, sink.head]).toEqual([["start", "chunk"], { status: 599, headers: ["a", "b"] }]);
    bench.say(bytes(FRAME.data, 0, 1, "", "me"), bytes(FRAME.data, END, 1));
    await sink.done;
    expect([sink.heard, sink.body.toString()]).toEqual([["start", "chunk", "arrived", "end"], "some"]);
  });

  it("may come before the request's body is complete; whoever waits to write it is let go on", async () => {
    const bench = await ready("wsgi");
    const sink = bench.open(aRequest({ bodyFollows: true }));
    await settle();
    expect(sink.write(Buffer.alloc(DEFAULT_WINDOW + 1))).toBe(false);
    let before: string[] | undefined;
    sink.drain = () => void (before = [...sink.heard]);
    bench.say(head(":status\x00200"));
    await sink.done;
    expect(before).toEqual([]);
    await settle();
    const seen = bench.seen.length;
    expect(sink.write(Buffer.from("nobody wants it"))).toBe(true);
    sink.endBody();
    await settle();
    expect(bench.seen.length).toBe(seen);
  });

  it("of an app that fails in it fails only that request", async () => {
    const bench = await ready("asgi");
    const sinks = [1, 2, 3].map(() => bench.open(aRequest()));
    bench.say(head(":status\x00200", 0, 1, "so"), reset(1, 3), reset(3, 4), head(":status\x00204", END, 5));
    await settle();
    expect(sinks.map((sink) => [sink.heard.join(" "), sink.error?.code, sink.error?.status])).toEqual([
      ["start chunk fail", "OL_SANDBOX_APP_FAILED", 500],
      ["fail", "OL_SANDBOX_APP_FAILED", 500],
      ["whole", undefined, undefined],
    ]);
    expect(bench.connection.inFlight).toBe(0);
  });

  it.each([
    ["a status below 200", ":status\x00199", /199/],
    ["a status above 599", ":status\x00600", /600/],
    ["a status of 101", ":status\x00101", /101/],
    ["a status that is no number", ":status\0abc", /abc/],
    ["a status with something behind it", ":status\x00200 OK", /200 OK/],
    ["an empty status", ":status\0", /status/],
    ["a field without a name", ":status\x00200\0\0b", /name/],
    ["a space in a name", ":status\x00200\0a b\0c", /"a b"/],
    ["a line break in a name", ":status\x00200\0a\r\n\0c", /name/],
    ["a name that is not ASCII", ":status\x00200\0\xe9\0c", /name/],
    ["a CR in a value", ":status\x00200\0a\0b\rc", /"a"/],
    ["a LF in a value", ":status\x00200\0a\0b\nc", /"a"/],
    ["another control character in a value", ":status\x00200\0a\0b\x7f", /"a"/],
    ["256 fields", `:status\x00200${fields(256)}`, /256/],
    ["16,000 fields", `:status\x00200${fields(16_000)}`, /16000/],
    ["an error besides", ":status\x00200\0:error\0exception", /error/],
  ])("with %s ends that request only", async (_what, meta, message) => {
    const bench = await ready("asgi");
    const sinks = [1, 2, 3].map(() => bench.open(aRequest()));
    bench.say(head(meta, END, 1, "x"), head(meta, 0, 3, "x"));
    await settle();
    expect(sinks.map((sink) => [sink.heard.join(), sink.error?.code, sink.error?.status])).toEqual([
      ["fail", "OL_SANDBOX_BAD_REPLY", 500],
      ["fail", "OL_SANDBOX_BAD_REPLY", 500],
      ["", undefined, undefined],
    ]);
    expect(sinks[0]?.error?.message).toMatch(message);
    // The second goes on until the guest ends it.
    expect(bench.resets).toEqual([[3, CONTENT]]);
    expect(bench.connection.inFlight).toBe(2);
    bench.say(
      bytes(FRAME.data, 0, 3, "", "more"),
      reset(3, CONTENT),
      head(`:status\x00200${fields(255)}`, END, 5),
    );
    await settle();
    expect(sinks[2]?.head?.headers.length).toBe(2 * 255);
    expect([sinks[1]?.heard, bench.connection.inFlight]).toEqual([["fail"], 0]);
  });

  it("is an error in the place of a function's", async () => {
    const bench = await ready("wsgi");
    const call = bench.open(aCall());
    bench.say(head(":status\x00200"));
    await call.done;
    expect(call.error?.code).toBe("OL_SANDBOX_BAD_REPLY");
    const of = await ready("function");
    const request = of.open(aRequest());
    of.say(head(":status\x00200"));
    await request.done;
    expect(request.error?.code).toBe("OL_SANDBOX_BAD_REPLY");
  });
});

describe("a body that follows", () => {
  it("goes on in DATA, and ends when its writer says so", async () => {
    const bench = await ready("asgi");
    const sink = bench.open(aRequest({ body: Buffer.from("be"), bodyFollows: true }));
    expect(sink.drains).toBe(0);
    await settle();
    expect(sink.drains).toBe(1);
    expect(sink.write(Buffer.from("gin"))).toBe(true);
    expect(sink.write(Buffer.alloc(0))).toBe(true);
    sink.endBody();
    sink.endBody();
    expect(sink.write(Buffer.from("too late"))).toBe(true);
    await settle();
    const sent = bench.seen.filter(({ type }) => type === FRAME.http || type === FRAME.data);
    expect(sent.map(({ flags, body }) => [flags, body.toString()])).toEqual([
      [0, "be"],
      [0, "gin"],
      [END, ""],
    ]);
    expect(sink.drains).toBe(1);
  });

  it("is held back by credit, and its writer told when there is more", async () => {
    const bench = await ready("wsgi");
    const sink = bench.open(aRequest({ bodyFollows: true }));
    await settle();
    expect(sink.write(Buffer.alloc(DEFAULT_WINDOW - 1, "a"))).toBe(true);
    expect(sink.write(Buffer.from("bcd"))).toBe(false);
    sink.endBody();
    await settle();
    expect(bench.seen.at(-1)?.body.toString()).toBe("b");
    bench.say(bytes(FRAME.window, 0, 1, "", u32(1)));
    await settle();
    expect([bench.seen.at(-1)?.body.toString(), sink.drains]).toEqual(["c", 1]);
    bench.say(bytes(FRAME.window, 0, 1, "", u32(100)));
    await settle();
    expect([bench.seen.at(-1)?.body.toString(), bench.seen.at(-1)?.flags]).toEqual(["d", END]);
    expect(sink.drains).toBe(2);
  });

  it("begins with more than a frame holds, and keeps its order if its writer does not wait", async () => {
    const bench = new Bench();
    const body = Buffer.alloc(2 * MAX_FRAME_BYTES, "e");
    const sink = bench.open(aRequest({ body, bodyFollows: true }));
    expect(sink.write(Buffer.from("f"))).toBe(false);
    expect(sink.write(Buffer.from("g"))).toBe(false);
    await settle();
    expect(sink.drains).toBe(0);
    bench.say(HELLO, bytes(FRAME.window, 0, 1, "", u32(2 * MAX_FRAME_BYTES)));
    await settle();
    expect(sink.drains).toBe(1);
    sink.endBody();
    await settle();
    const sent = bench.seen.filter(({ type }) => type === FRAME.http || type === FRAME.data);
    expect(
      Buffer.concat(sent.map((frame) => frame.body)).equals(Buffer.concat([body, Buffer.from("fg")])),
    ).toBe(true);
    expect(sent.map(({ flags }) => flags).filter((flags) => flags === END).length).toBe(1);
    expect(sent.at(-1)?.flags).toBe(END);
  });

  it("is not asked for if the call cannot be opened", async () => {
    const bench = new Bench();
    bench.connection.fail(sandboxError("OL_SANDBOX_EXITED", "gone"));
    const sink = bench.open(aRequest({ bodyFollows: true }));
    expect(sink.write(Buffer.from("x"))).toBe(false);
    await sink.done;
    expect([sink.error !== undefined && isNotStarted(sink.error), sink.drains]).toEqual([true, 0]);
  });

  it("that was begun to be written is in nobody's hand: the call is not said to wait behind another", async () => {
    const bench = await ready("wsgi");
    const [, untouched, written] = [
      bench.open(aRequest()),
      bench.open(aRequest()),
      bench.open(aRequest({ bodyFollows: true })),
    ];
    written.write(Buffer.from("x"));
    bench.guest.end();
    await bench.ended;
    bench.connection.fail(sandboxError("OL_SANDBOX_EXITED", "gone"));
    expect([untouched, written].map(({ error }) => error?.details["behind"])).toEqual([true, undefined]);
  });

  it("may be read by an app that reads nothing for a while", async () => {
    const bench = new Bench({ writeStallMs: 20 });
    bench.say(HELLO, readyAs("wsgi"));
    await settle();
    const sink = bench.open(aRequest({ bodyFollows: true }));
    await bench.sees(FRAME.http);
    bench.guest.pause();
    sink.write(Buffer.alloc(DEFAULT_WINDOW));
    await new Promise((resolve) => setTimeout(resolve, 80));
    bench.guest.resume();
    bench.say(head(":status\x00200"));
    await sink.done;
    expect(sink.heard).toEqual(["whole"]);
  });
});

describe("a request whose client is gone", () => {
  it("is cancelled in an app, which may take its time to end it, and heard of once more when it has", async () => {
    const bench = await ready("wsgi");
    const sink = bench.open(aRequest({ bodyFollows: true }));
    bench.say(head(":status\x00200", 0, 1, "so"));
    await settle();
    sink.write(Buffer.alloc(DEFAULT_WINDOW + 1));
    sink.cancel();
    sink.cancel();
    expect(sink.write(Buffer.from("ignored"))).toBe(true);
    bench.say(bytes(FRAME.data, 0, 1, "", "more"), bytes(FRAME.window, 0, 1, "", u32(1_000)));
    await settle();
    expect(bench.resets).toEqual([[1, CANCELLED]]);
    expect(bench.seen.at(-1)?.type).toBe(FRAME.reset);
    expect(bench.connection.inFlight).toBe(1);
    expect(sink.heard).toEqual(["start", "chunk"]);
    bench.say(reset(1, CANCELLED));
    await settle();
    expect([sink.heard, sink.drains]).toEqual([["start", "chunk", "fail"], 1]);
    expect(sink.error?.code).toBe("OL_SANDBOX_CANCELLED");
    expect(bench.connection.inFlight).toBe(0);
  });

  it("runs on in a function, like every call in an app", async () => {
    const bench = await ready("function");
    const other = await ready("asgi");
    const sinks = [bench.open(aRequest()), bench.open(aCall()), other.open(aCall())];
    for (const sink of sinks) sink.cancel();
    bench.say(reply(1, "1"), reply(3, "2"));
    other.say(reply(1, "3"));
    await settle();
    expect([...bench.resets, ...other.resets]).toEqual([]);
    expect(sinks.map(({ heard }) => heard)).toEqual([["fail"], ["fail"], ["fail"]]);
    expect(sinks.map(({ error }) => error?.code)).toEqual(Array(3).fill("OL_SANDBOX_CANCELLED"));
    expect(bench.connection.inFlight + other.connection.inFlight).toBe(0);
  });

  it("is cancelled once it is known that the code is an app", async () => {
    const bench = new Bench();
    const sinks = [bench.open(aRequest()), bench.open(aRequest())];
    sinks[0]?.cancel();
    bench.say(HELLO);
    await settle();
    expect(bench.resets).toEqual([]);
    bench.say(readyAs("asgi"));
    await settle();
    expect(bench.resets).toEqual([[1, CANCELLED]]);
    const of = new Bench();
    of.open(aRequest()).cancel();
    of.say(HELLO, readyAs("function"));
    await settle();
    expect(of.resets).toEqual([]);
  });

  it.each(["cancel", "abandon"] as const)(
    "is taken back from a function if its body is not complete (%s)",
    async (how) => {
      const bench = await ready("function");
      const sinks = [
        bench.open(aRequest({ bodyFollows: true })),
        bench.open(aRequest({ bodyFollows: true })),
      ];
      sinks[1]?.endBody();
      for (const sink of sinks) sink[how]();
      await settle();
      expect(bench.resets).toEqual([[1, CANCELLED]]);
    },
  );
});
