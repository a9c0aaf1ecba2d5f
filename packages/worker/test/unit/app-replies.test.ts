import { splitTarget } from "@ol/common";
import { describe, expect, it } from "vitest";

import { appHead, hasBody } from "../../src/app-reply.ts";
import { serverTiming } from "../../src/server-timing.ts";

const PHASES = { queueMs: 0.041, memoryMs: 0, forkMs: 0, importMs: 0, runMs: 0.216 };

describe("Server-Timing", () => {
  it("of a warm call tells how long it waited and ran", () => {
    expect(serverTiming(PHASES, true)).toBe("queue;dur=0.04, run;dur=0.22");
  });

  it("of a cold call tells what it waited for", () => {
    const phases = { queueMs: 1, memoryMs: 20.5, forkMs: 2.25, importMs: 300, runMs: 4 };
    const text = "queue;dur=1.00, memory;dur=20.50, fork;dur=2.25, import;dur=300.00, run;dur=4.00";
    expect(serverTiming(phases, true)).toBe(text);
  });

  it("of one that is not over does not tell how long it ran", () => {
    expect(serverTiming(PHASES, false)).toBe("queue;dur=0.04");
  });
});

describe("the head of an app's reply", () => {
  it("is written as it is, without what is the connection's, or ours", () => {
    const kept = ["X-A", "1", "Set-Cookie", "a=1", "Set-Cookie", "b=2"];
    const dropped = [
      ["Connection", "close"],
      ["keep-alive", "timeout=5"],
      ["Transfer-Encoding", "chunked"],
      ["Upgrade", "h2c"],
      ["Trailer", "X"],
      ["X-OL-Not-Started", "1"],
      ["x-ol-load", "v=1"],
    ].flat();
    const { status, headers, promised } = appHead({ status: 418, headers: [...kept, ...dropped] });
    expect({ status, headers, promised }).toEqual({ status: 418, headers: kept, promised: undefined });
  });

  it("may promise its body's length, once or several times alike", () => {
    const headers = ["content-length", "12", "Content-Length", "12"];
    expect(appHead({ status: 200, headers })).toEqual({
      status: 200,
      headers: ["Content-Length", "12"],
      promised: 12,
    });
    expect(appHead({ status: 204, headers }).headers).toEqual([]);
  });

  it.each([["-1"], ["1.5"], ["0x10"], ["1 "], [""], ["1e3"], ["99999999999999999999"], ["12, 12"]])(
    "with a Content-Length of %j is refused",
    (value) => {
      expect(() => appHead({ status: 200, headers: ["Content-Length", value] })).toThrow(
        /a Content-Length that is no number/u,
      );
    },
  );

  it("with two Content-Lengths that differ is refused", () => {
    const headers = ["Content-Length", "1", "Content-Length", "2"];
    expect(() => appHead({ status: 200, headers })).toThrow(/two Content-Length fields that differ/u);
  });

  it("belongs to a body, but for HEAD, 204 and 304", () => {
    expect([hasBody("GET", 200), hasBody("POST", 404), hasBody("GET", 205)]).toEqual([true, true, true]);
    expect([hasBody("HEAD", 200), hasBody("GET", 204), hasBody("GET", 304)]).toEqual([false, false, false]);
  });
});

describe("a request's target", () => {
  it.each([
    ["/run/app", ["/run/app", "", ""]],
    ["/run/app/", ["/run/app", "/", ""]],
    ["/run/app?x=1", ["/run/app", "", "x=1"]],
    ["/run/app/a%20b//c?x=1?y", ["/run/app", "/a%20b//c", "x=1?y"]],
    ["/runLambda/app/x", ["/runLambda/app", "/x", ""]],
    ["/run/a%40b/x", ["/run/a%40b", "/x", ""]],
    ["/run/app/..#f?x", ["/run/app", "/..", ""]],
    ["/run/app?#x", ["/run/app", "", ""]],
  ])("%s is split into where the app is and what is its own", (target, [mount, path, query]) => {
    expect(splitTarget(target)).toEqual({ mount, path, query });
  });
});
