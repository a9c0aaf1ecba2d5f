import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { FRAME } from "../../src/frames/codec.ts";
import { Bench, HELLO, READY, aCall, bytes, reply, settle, u32 } from "./frames-kit.ts";

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
