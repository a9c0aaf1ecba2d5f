import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { sandboxError } from "../../src/errors.ts";
import { FRAME } from "../../src/frames/codec.ts";
import {
  Bench,
  HELLO,
  READY,
  type Recorder,
  aCall,
  aRequest,
  bytes,
  readyAs,
  reply,
  settle,
  u32,
} from "./frames-kit.ts";

/** Lets time pass, and what becomes of it happen. */
const wait = async (ms: number): Promise<void> => {
  await settle();
  vi.advanceTimersByTime(ms);
  await settle();
};

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});

afterEach(() => {
  vi.useRealTimers();
});

describe("a call's time limit", () => {
  it("ends the call with OL_SANDBOX_TIMEOUT and the connection once the guest has answered the RESET", async () => {
    const bench = new Bench({ resetMs: 5_000 });
    const sink = bench.open(aCall("1", 30));
    const behind = bench.open(aCall("2", 5_000));
    bench.say(HELLO, READY);
    await wait(29);
    expect(sink.heard).toEqual([]);
    await wait(2);
    expect(sink.error?.code).toBe("OL_SANDBOX_TIMEOUT");
    expect(bench.events).toEqual(["ready", "retiring"]);
    const [reset] = await bench.sees(FRAME.reset);
    expect([reset?.id, reset?.body.readUInt32BE()]).toEqual([1, 2]);
    const late = bench.open();
    await late.done;
    expect(late.error?.code).toBe("OL_SANDBOX_DESTROYED");
    expect(behind.heard).toEqual([]);
    bench.say(bytes(FRAME.reset, 0, 1, "", u32(2)));
    expect((await bench.ended)?.code).toBe("OL_SANDBOX_DESTROYED");
    expect(behind.error?.code).toBe("OL_SANDBOX_DESTROYED");
    expect(sink.heard).toEqual(["fail"]);
  });

  it("ends the connection when the guest ignores the RESET", async () => {
    const bench = new Bench({ resetMs: 30 });
    const sink = bench.open(aCall("1", 20));
    bench.say(HELLO, READY);
    await wait(21);
    expect(bench.socket.destroyed).toBe(false);
    await wait(31);
    expect((await bench.ended)?.code).toBe("OL_SANDBOX_DESTROYED");
    expect(sink.error?.code).toBe("OL_SANDBOX_TIMEOUT");
  });

  it("counts from when the code is loaded, and bounds the loading too", async () => {
    const bench = new Bench();
    const sink = bench.open(aCall("1", 150));
    bench.say(HELLO);
    await wait(100);
    bench.say(READY);
    await wait(100);
    bench.say(reply(1, "in time"));
    await sink.done;
    expect(sink.heard).toEqual(["whole"]);

    const slow = new Bench();
    const never = slow.open(aCall("1", 30));
    slow.say(HELLO);
    await wait(31);
    await never.done;
    expect(never.error?.message).toMatch(/not loaded within 30 ms/);
  });

  it("of a waiting call counts from when the one before it ended", async () => {
    const bench = new Bench();
    const sinks = [bench.open(aCall("1", 150)), bench.open(aCall("2", 150))];
    bench.say(HELLO, READY);
    await wait(100);
    bench.say(reply(1, "a"));
    await wait(100);
    bench.say(reply(3, "b"));
    await Promise.all(sinks.map((sink) => sink.done));
    expect(sinks.map((sink) => sink.heard)).toEqual([["whole"], ["whole"]]);
  });

  it("holds for an abandoned call too", async () => {
    const bench = new Bench({ resetMs: 20 });
    const sink = bench.open(aCall("1", 20));
    sink.abandon();
    bench.say(HELLO, READY);
    await wait(21);
    await wait(21);
    await bench.ended;
    expect(sink.heard).toEqual([]);
  });
});

const [CANCELLED, DEADLINE] = [1, 2];
const timeout = ({ error }: Recorder): boolean => error?.code === "OL_SANDBOX_TIMEOUT";
const reset = (id: number): Buffer => bytes(FRAME.reset, 0, id, "", u32(DEADLINE));
const done = (id: number): Buffer => reply(id, "", ":status\x00200");

/** Requests to an app that is loaded, each with its time limit. */
const requests = async (bench: Bench, ...limitsMs: number[]): Promise<Recorder[]> => {
  bench.say(HELLO, readyAs("asgi"));
  await settle();
  return limitsMs.map((timeoutMs) => bench.open(aRequest({ timeoutMs })));
};

describe("the time limits of requests that run at once", () => {
  it("count for each from its own opening, and leave the others a while when one is over", async () => {
    const bench = new Bench();
    const [long, short, longer] = await requests(bench, 5_500, 100, 20_000);
    await wait(99);
    expect(bench.resets).toEqual([]);
    await wait(2);
    expect([long, short, longer].map((sink) => sink?.heard)).toEqual([[], ["fail"], []]);
    expect(short !== undefined && timeout(short)).toBe(true);
    expect(bench.events).toEqual(["ready", "retiring"]);
    const late = bench.open(aRequest());
    await late.done;
    expect(late.error?.code).toBe("OL_SANDBOX_DESTROYED");
    bench.say(reset(3));
    // A second one over its limit gives the last no more time.
    await wait(4_990);
    expect(bench.socket.destroyed).toBe(false);
    bench.say(done(1));
    await wait(20);
    expect((await bench.ended)?.code).toBe("OL_SANDBOX_DESTROYED");
    expect(long?.heard).toEqual(["whole"]);
    expect([longer?.error?.code, longer?.error?.details["behind"]]).toEqual([
      "OL_SANDBOX_DESTROYED",
      undefined,
    ]);
    expect(bench.resets).toEqual([[3, DEADLINE]]);
  });

  it("go on counting when the one that was opened before is over", async () => {
    const bench = new Bench();
    const [, second] = await requests(bench, 5_000, 300);
    await wait(200);
    bench.say(done(1));
    await wait(99);
    expect(second?.heard).toEqual([]);
    await wait(2);
    expect(second?.heard).toEqual(["fail"]);
  });

  it("end the sandbox as soon as all are over", async () => {
    const bench = new Bench();
    const [, beside] = await requests(bench, 100, 10_000);
    await wait(101);
    bench.say(done(3));
    await settle();
    expect(beside?.heard).toEqual(["whole"]);
    expect(bench.socket.destroyed).toBe(false);
    bench.say(reset(1));
    expect((await bench.ended)?.code).toBe("OL_SANDBOX_DESTROYED");
  });

  it("end the sandbox when only such are left that ignore their RESET", async () => {
    const bench = new Bench({ resetMs: 1_000 });
    const sinks = await requests(bench, 100, 10_000);
    await wait(101);
    await wait(2_000);
    expect(bench.socket.destroyed).toBe(false);
    bench.say(done(3));
    await settle();
    await wait(2);
    expect((await bench.ended)?.code).toBe("OL_SANDBOX_DESTROYED");
    expect(sinks.map((sink) => sink.heard)).toEqual([["fail"], ["whole"]]);
  });

  it("hold for each of them, also if the first has the longest", async () => {
    const bench = new Bench();
    const sinks = await requests(bench, 400, 300, 200, 100);
    for (let count = 1; count <= 4; count += 1) {
      await wait(100);
      expect(sinks.filter(timeout).length).toBe(count);
    }
    expect(bench.resets.map(([id]) => id)).toEqual([7, 5, 3, 1]);
  });

  it("count from when the code is loaded", async () => {
    const bench = new Bench();
    const sinks = [1_000, 150].map((timeoutMs) => bench.open(aRequest({ timeoutMs })));
    bench.say(HELLO);
    await wait(100);
    bench.say(readyAs("asgi"));
    await wait(149);
    expect(sinks.map((sink) => sink.heard)).toEqual([[], []]);
    await wait(2);
    expect(sinks.map((sink) => sink.heard)).toEqual([[], ["fail"]]);
  });

  it("are not about waiting: none is asked back, nor waits behind another", async () => {
    const bench = new Bench();
    await requests(bench, 5_000);
    const second = bench.open(aRequest({ waitMs: 10 }));
    await wait(100);
    expect(bench.resets).toEqual([]);
    bench.guest.end();
    await bench.ended;
    bench.connection.fail(sandboxError("OL_SANDBOX_EXITED", "gone"));
    expect(second.error?.details).toEqual({});
  });

  it("are the only ones for a guest that reads nothing meanwhile", async () => {
    const bench = new Bench({ writeStallMs: 20 });
    await requests(bench);
    await wait(1);
    bench.guest.pause();
    const sinks = [1, 2].map(() => bench.open(aRequest({ body: Buffer.alloc(1_000_000) })));
    await wait(100);
    await wait(100);
    bench.guest.resume();
    bench.say(done(1), done(3));
    await settle();
    expect(sinks.map((sink) => sink.heard)).toEqual([["whole"], ["whole"]]);
  });
});

describe("the time limit of a request that was cancelled", () => {
  it.each(["wsgi", "asgi"] as const)("leaves the app (%s) until then to end it", async (kind) => {
    const bench = new Bench({ resetMs: 1_000 });
    const sink = bench.open(aRequest({ timeoutMs: 5_000 }));
    bench.say(HELLO, readyAs(kind));
    await settle();
    sink.cancel();
    await wait(4_990);
    expect(bench.resets).toEqual([[1, CANCELLED]]);
    expect(bench.events).toEqual(["ready"]);
    await wait(20);
    expect(bench.resets).toEqual([
      [1, CANCELLED],
      [1, DEADLINE],
    ]);
    expect(bench.events).toEqual(["ready", "retiring"]);
    await wait(990);
    expect(bench.socket.destroyed).toBe(false);
    await wait(20);
    expect((await bench.ended)?.code).toBe("OL_SANDBOX_DESTROYED");
    expect([sink.heard, sink.error?.code]).toEqual([["fail"], "OL_SANDBOX_TIMEOUT"]);
  });
});
