import { describe, expect, it } from "vitest";

import { lambdaName, originForm } from "../../src/request-target.ts";

const refuse = (message: string): Error => new Error(message);

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
    expect(originForm("http://h:1/run/x?y", "H:1", refuse)).toBe("/run/x?y");
    expect(originForm("http://h", "h", refuse)).toBe("/");
    expect(() => originForm("http://other/run/x", "h", refuse)).toThrow(/another host/u);
    expect(() => originForm("http://h/run/x", undefined, refuse)).toThrow(/another host/u);
    expect(() => originForm("ftp://h/run/x", "h", refuse)).toThrow(/not a path/u);
  });
});
