import { describe, expect, it } from "vitest";

import { errorReply, failureReply } from "../../src/error-reply.ts";
import { workerError } from "../../src/errors.ts";
import { asksAsync, checkedHeaders } from "../../src/request-headers.ts";
import { isTraceparent, TraceparentMaker } from "../../src/traceparent.ts";

describe("a request's header", () => {
  it("is passed on as it is when nothing of ours is in it", () => {
    const raw = ["Host", "a", "X-Other", "1"];
    expect(checkedHeaders(raw, false)).toBe(raw);
  });

  it("loses X-OL-* in any spelling, unless the peer is trusted", () => {
    const raw = ["host", "a", "X-Ol-Load", "1", "x-ol-x", "x-ol-y", "X-Olive", "3"];
    expect(checkedHeaders(raw, false)).toEqual(["host", "a", "X-Olive", "3"]);
    expect(checkedHeaders(raw, true)).toBe(raw);
  });

  it("never passes a load balancer's proof on, in any spelling", () => {
    const raw = ["host", "a", "X-OL-Proxy", "1", "X-OL-Load", "1", "x-ol-PROXY", "2", "X-OL-Proxy-2", "3"];
    expect(checkedHeaders(raw, true)).toEqual(["host", "a", "X-OL-Load", "1", "X-OL-Proxy-2", "3"]);
    expect(checkedHeaders(raw, false)).toEqual(["host", "a"]);
  });

  it("with two Hosts is refused", () => {
    expect(() => checkedHeaders(["Host", "a", "HOST", "a"], true)).toThrow(/more than one Host/u);
  });

  it("asks for an asynchronous reply only by that very preference", () => {
    expect(asksAsync("respond-async")).toBe(true);
    expect(asksAsync("wait=10, Respond-Async; x")).toBe(true);
    expect(asksAsync("return=minimal")).toBe(false);
    expect(asksAsync(undefined)).toBe(false);
  });
});

describe("trace contexts", () => {
  it("that are made are valid and differ", () => {
    const maker = new TraceparentMaker();
    const made = Array.from({ length: 300 }, () => maker.next());
    expect(made.every(isTraceparent)).toBe(true);
    expect(new Set(made).size).toBe(300);
  });

  it.each(["", "00-abc", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])("%j is none", (text) =>
    expect(isTraceparent(text)).toBe(false),
  );
});

describe("what an error is answered with", () => {
  it("tells nothing of errors of the system but their code", () => {
    const error = Object.assign(new Error("EACCES: /secret/path"), { code: "EACCES" });
    expect(errorReply(error, false).message).toBe("the worker failed to run the call");
  });

  it("says that a 503 was not started only if that is so", () => {
    const error = workerError("OL_WORKER_BODIES_FULL", "full");
    expect(errorReply(error, false).headers).toEqual(["Retry-After", "1", "X-OL-Not-Started", "1"]);
    expect(errorReply(error, true).headers).toEqual(["Retry-After", "1"]);
  });

  it("takes a lambda's failure for text from a stranger", () => {
    expect(failureReply("exception", Buffer.from('{"message": 1}')).message).toMatch(/could not be read/u);
    expect(failureReply("exception", Buffer.from("nonsense")).message).toMatch(/could not be read/u);
    expect(failureReply("bad-input", Buffer.from('{"message": "m"}'))).toMatchObject({
      status: 400,
      message: "m",
    });
  });
});
