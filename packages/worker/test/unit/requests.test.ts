import { describe, expect, it } from "vitest";

import { errorReply, failureReply } from "../../src/error-reply.ts";
import { workerError } from "../../src/errors.ts";
import { asksAsync, checkedHeaders } from "../../src/request-headers.ts";
import { lambdaName, originForm } from "../../src/request-target.ts";
import { isTraceparent, TraceparentMaker } from "../../src/traceparent.ts";
import { TrustedPeers } from "../../src/trusted-peers.ts";
import { isUlid, UlidMaker } from "../../src/ulid.ts";

describe("a request's target", () => {
  it.each([
    ["/run/hello", "hello"],
    ["/runLambda/hello", "hello"],
    ["/run/hello/", "hello"],
    ["/run/hello?x=/run/other", "hello"],
    ["/run/hello#x", "hello"],
    ["/run/hello@v1/a", "hello@v1"],
    ["/run/hello%40v1", "hello@v1"],
    ["/run/%2e%2e%2fetc", "../etc"],
    ["/run/%zz", "%zz"],
    ["/run/../x", ".."],
    ["/run//x", ""],
    ["/run/", ""],
    ["/run", ""],
    ["/runLambda?x", ""],
  ])("%s asks for the lambda %j", (path, name) => expect(lambdaName(path)).toBe(name));

  it.each(["/", "/runs/x", "/status", "/runLambdas/x", "/Run/x", "*"])("%s asks for none", (path) =>
    expect(lambdaName(path)).toBeUndefined(),
  );

  it("in the absolute form counts only if it names the Host", () => {
    expect(originForm("http://h:1/run/x?y", "H:1")).toBe("/run/x?y");
    expect(originForm("http://h", "h")).toBe("/");
    expect(() => originForm("http://other/run/x", "h")).toThrow(/another host/u);
    expect(() => originForm("http://h/run/x", undefined)).toThrow(/another host/u);
    expect(() => originForm("ftp://h/run/x", "h")).toThrow(/not a path/u);
  });
});

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

describe("trusted peers", () => {
  it("are addresses and networks, also when IPv4 comes over an IPv6 socket", () => {
    const peers = new TrustedPeers(["10.0.0.0/8", "192.168.1.7", "fd00::/8"]);
    for (const address of ["10.1.2.3", "::ffff:10.1.2.3", "192.168.1.7", "fd12::1"])
      expect(peers.has(address)).toBe(true);
    for (const address of ["11.0.0.1", "::1", "127.0.0.1", undefined]) expect(peers.has(address)).toBe(false);
  });

  it("are nobody by default", () => expect(new TrustedPeers([]).has("127.0.0.1")).toBe(false));

  it.each(["localhost", "10.0.0.0/33", "10.0.0.0/x", "", "::1/129"])("cannot be %j", (proxy) => {
    expect(() => new TrustedPeers([proxy])).toThrow(/trusted_proxies/u);
  });
});

describe("invocation ids", () => {
  it("are ULIDs that rise, also thousands within a millisecond", () => {
    let nowMs = 1_700_000_000_000;
    const maker = new UlidMaker(() => nowMs);
    const ids = Array.from({ length: 5_000 }, () => maker.next());
    nowMs += 1;
    ids.push(maker.next());
    // A clock that goes back must not make ids that go back.
    nowMs -= 1_000;
    ids.push(maker.next());
    expect(ids.every(isUlid)).toBe(true);
    expect(ids).toEqual([...new Set(ids)].sort());
  });

  it("hold the time in their first ten digits", () => {
    expect(new UlidMaker(() => 1_469_918_176_385).next().slice(0, 10)).toBe("01ARYZ6S41");
  });

  it("of two makers differ", () => {
    expect(new UlidMaker(() => 5).next()).not.toBe(new UlidMaker(() => 5).next());
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
