import { describe, expect, it } from "vitest";

import { FRAME } from "../../src/frames/codec.ts";
import { GREETINGS, VIOLATIONS } from "../support/violations.ts";
import { Bench, HELLO, READY, bytes, reply, settle } from "./frames-kit.ts";

const ALL = [...GREETINGS, ...VIOLATIONS].map((violation) => [violation[0], violation] as const);
/** What the sink has heard. */
const HEARD = { nothing: /^fail$/, whole: /^whole$/, broken: /^start (chunk )?fail$/ };

describe("a guest that breaks the protocol", () => {
  it.each(ALL)("is cut off for %s", async (what, [, said, heard = "nothing"]) => {
    // At once, and not only because a timer ran out.
    const bench = new Bench({ helloMs: 60_000, partialFrameMs: 60_000 });
    const sink = bench.open();
    sink.roomy = false;
    const greets = GREETINGS.some(([greeting]) => greeting === what);
    bench.say(...(greets ? [] : [HELLO]), ...said);
    const error = await bench.ended;
    expect(error?.code).toBe("OL_SANDBOX_PROTOCOL");
    await settle();
    expect(bench.socket.destroyed).toBe(true);
    expect(sink.heard.join(" ")).toMatch(HEARD[heard]);
  });

  it("is cut off for DATA beyond its credit when its receiver is full", async () => {
    const bench = new Bench();
    const sink = bench.open();
    sink.roomy = false;
    const half = bytes(FRAME.data, 0, 1, "", Buffer.alloc(131_072));
    bench.say(HELLO, bytes(FRAME.reply, 0, 1, "", "begin"), half, half, half);
    expect((await bench.ended)?.message).toMatch(/DATA beyond its credit/);
    await settle();
    expect(sink.heard).toEqual(["start", "chunk", "fail"]);
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
