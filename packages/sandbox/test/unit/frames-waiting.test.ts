import { describe, expect, it } from "vitest";

import { sandboxError } from "../../src/errors.ts";
import type { Call } from "../../src/frames/call.ts";
import { FRAME, MAX_FRAME_BYTES } from "../../src/frames/codec.ts";
import { isNotStarted, wasBehind } from "../../src/not-started.ts";
import { Bench, HELLO, READY, type Recorder, aCall, bytes, reply, settle, u32 } from "./frames-kit.ts";

const REFUSED = 5;

const ready = async (): Promise<Bench> => {
  const bench = new Bench();
  bench.say(HELLO, READY);
  await settle();
  return bench;
};

/** A call that is asked back when it has waited for so long. */
const patient = (waitMs: number): Call => ({ ...aCall("2"), waitMs });

/** What a call heard, in words. */
const fate = ({ error, body }: Recorder): string => {
  if (error === undefined) return body.toString();
  return error.code + (wasBehind(error) ? ", behind" : "") + (isNotStarted(error) ? ", not started" : "");
};

describe("calls that wait in a guest behind another", () => {
  it("are asked back, the last first, once the first of them has waited for too long", async () => {
    const bench = await ready();
    const calls = [bench.open(aCall()), bench.open(patient(5)), bench.open(patient(5_000))];
    const resets = await bench.sees(FRAME.reset, 2);
    expect(resets.map((frame) => [frame.id, frame.body.readUInt32BE()])).toEqual([
      [5, REFUSED],
      [3, REFUSED],
    ]);
    // The second has begun meanwhile, so it is answered; the third comes back.
    bench.say(bytes(FRAME.reset, 0, 5, "", u32(REFUSED)), reply(1, "one"), reply(3, "two"));
    await settle();
    expect(calls.map(fate)).toEqual(["one", "two", "OL_SANDBOX_RECALLED, behind"]);
  });

  it("wait as long as it takes if they do not say how long", async () => {
    const bench = await ready();
    const calls = [bench.open(aCall()), bench.open(aCall()), bench.open(patient(1))];
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(bench.seen.filter((frame) => frame.type === FRAME.reset)).toEqual([]);
    bench.say(reply(1, "1"), reply(3, "2"), reply(5, "3"));
    await settle();
    expect(calls.map(fate)).toEqual(["1", "2", "3"]);
  });

  it("have not begun if the guest ends, and the one before them may have", async () => {
    const bench = await ready();
    const calls = [bench.open(aCall()), bench.open(aCall()), bench.open(aCall())];
    bench.say(reply(1, "1"));
    await settle();
    bench.guest.end();
    await bench.ended;
    bench.connection.fail(sandboxError("OL_SANDBOX_EXITED", "gone"));
    expect(calls.map(fate)).toEqual(["1", "OL_SANDBOX_EXITED", "OL_SANDBOX_EXITED, behind"]);
  });

  it("may have begun if the sandbox is ended while a reply may lie unread", async () => {
    const bench = await ready();
    const calls = [bench.open(aCall()), bench.open(aCall())];
    bench.connection.fail(sandboxError("OL_SANDBOX_DESTROYED", "gone"));
    expect(calls.map(fate)).toEqual(["OL_SANDBOX_DESTROYED", "OL_SANDBOX_DESTROYED"]);
  });

  it("may have begun behind one whose event came in pieces", async () => {
    const bench = await ready();
    const calls = [bench.open(aCall(Buffer.alloc(MAX_FRAME_BYTES + 1, "1"))), bench.open(patient(1))];
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(bench.seen.filter((frame) => frame.type === FRAME.reset)).toEqual([]);
    bench.connection.fail(sandboxError("OL_SANDBOX_EXITED", "gone"));
    expect(calls.map(fate)).toEqual(["OL_SANDBOX_EXITED", "OL_SANDBOX_EXITED"]);
  });

  it("a RESET that says that a call was not begun is believed of no call that was not asked back", async () => {
    const bench = await ready();
    const calls = [bench.open(aCall()), bench.open(aCall())];
    bench.say(bytes(FRAME.reset, 0, 3, "", u32(REFUSED)));
    await settle();
    expect(calls.map(fate)).toEqual(["", "OL_SANDBOX_PROTOCOL"]);
  });
});
