import { describe, expect, it } from "vitest";

import { sandboxError } from "../../src/errors.ts";
import { HeldCalls } from "../../src/held-calls.ts";
import { isNotStarted } from "../../src/not-started.ts";
import { Recorder, aRequest } from "./frames-kit.ts";

/** A handle that notes what it is told. */
const noting = (said: string[]) => ({
  resume: () => void said.push("resume"),
  abandon: () => void said.push("abandon"),
  cancel: () => void said.push("cancel"),
  write: (data: Buffer) => said.push(`write ${data.toString()}`) > 0,
  endBody: () => void said.push("endBody"),
});

describe("a call that is held for a paused sandbox", () => {
  it("keeps what is written before it is opened, and asks for no more", () => {
    const held = new HeldCalls();
    const said: string[] = [];
    const handle = held.add(aRequest({ bodyFollows: true }), new Recorder());
    expect([handle.write(Buffer.from("a")), handle.write(Buffer.from("b"))]).toEqual([false, false]);
    handle.endBody();
    expect(handle.write(Buffer.from("ignored"))).toBe(true);
    held.release(() => noting(said));
    expect(said).toEqual(["write a", "write b", "endBody"]);
  });

  it("hands on what comes after it was opened", () => {
    const held = new HeldCalls();
    const said: string[] = [];
    const handle = held.add(aRequest({ bodyFollows: true }), new Recorder());
    held.release(() => noting(said));
    expect(handle.write(Buffer.from("a"))).toBe(true);
    handle.endBody();
    handle.resume();
    handle.cancel();
    expect(said).toEqual(["write a", "endBody", "resume", "cancel"]);
  });

  it.each(["cancel", "abandon"] as const)("is never opened if its caller leaves (%s)", (how) => {
    const held = new HeldCalls();
    const sink = new Recorder();
    const handle = held.add(aRequest({ bodyFollows: true }), sink);
    handle[how]();
    expect(handle.write(Buffer.from("ignored"))).toBe(true);
    held.release(() => {
      throw new Error("opened");
    });
    expect(sink.heard).toEqual(how === "cancel" ? ["fail"] : []);
  });

  it("has not started if the sandbox cannot be resumed, and takes nothing more", () => {
    const held = new HeldCalls();
    const sink = new Recorder();
    const handle = held.add(aRequest({ bodyFollows: true }), sink);
    held.fail(sandboxError("OL_SANDBOX_RESUME_FAILED", "no"));
    expect(sink.error !== undefined && isNotStarted(sink.error)).toBe(true);
    expect(handle.write(Buffer.from("ignored"))).toBe(true);
    handle.cancel();
    expect(sink.heard).toEqual(["fail"]);
  });
});
