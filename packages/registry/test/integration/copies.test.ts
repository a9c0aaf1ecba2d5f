import { createHash } from "node:crypto";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { TestRegistry, UPLOADER } from "../support/registry.ts";

let registry: TestRegistry;
beforeAll(async () => {
  registry = await TestRegistry.start();
});
afterAll(() => registry[Symbol.asyncDispose]());

const HELLO = "hello, world";
const HELLO_MD5 = createHash("md5").update(HELLO).digest();

describe("a copy", () => {
  beforeAll(() =>
    registry.send("PUT", "/code/copy me+%", {
      body: HELLO,
      headers: { "content-type": "text/a", "x-amz-meta-a": "1" },
    }),
  );
  const source = { "x-amz-copy-source": "/code/copy%20me%2B%25" };
  const copy = (headers: Readonly<Record<string, string>>, key = "copied") =>
    registry.send("PUT", `/code/${key}`, { headers: { ...source, ...headers }, as: UPLOADER });

  it("has the content and the header fields of its source, or fields of its own", async () => {
    const { status, text } = await copy({});
    expect(status).toBe(200);
    expect(text).toContain(`<ETag>&quot;${HELLO_MD5.toString("hex")}&quot;</ETag>`);
    expect((await registry.send("GET", "/code/copied")).headers).toMatchObject({
      "content-type": "text/a",
      "x-amz-meta-a": "1",
    });
    await copy({ "x-amz-metadata-directive": "REPLACE", "content-type": "text/b", "x-amz-meta-b": "2" });
    const got = await registry.send("GET", "/code/copied");
    expect([got.text, got.headers["content-type"], got.headers["x-amz-meta-a"]]).toEqual([
      HELLO,
      "text/b",
      undefined,
    ]);
  });

  it("without the slash before the bucket, and with all slashes encoded, is the same", async () => {
    expect((await copy({ "x-amz-copy-source": "code/copy%20me%2B%25" })).status).toBe(200);
    expect((await copy({ "x-amz-copy-source": "%2Fcode%2Fcopy%20me%2B%25" })).status).toBe(200);
  });

  it.each([
    [{ "x-amz-copy-source-if-match": '"other"' }, "PreconditionFailed"],
    [{ "x-amz-copy-source-if-none-match": `"${HELLO_MD5.toString("hex")}"` }, "PreconditionFailed"],
    [{ "x-amz-copy-source": "/code/none" }, "NoSuchKey"],
    [{ "x-amz-copy-source": "/none/none" }, "NoSuchBucket"],
    [{ "x-amz-copy-source": "/code" }, "InvalidArgument"],
    [{ "x-amz-copy-source": "/code/a?versionId=2" }, "NoSuchVersion"],
    [{ "x-amz-metadata-directive": "MOVE" }, "InvalidArgument"],
    [{ "if-none-match": "*" }, "PreconditionFailed"],
  ] as readonly [Record<string, string>, string][])("is refused with %j", async (headers, code) => {
    await registry.send("PUT", "/code/copied", { body: "there" });
    expect((await copy(headers)).code).toBe(code);
    expect((await registry.send("GET", "/code/copied")).text).toBe("there");
  });

  it("onto itself can only replace the header fields", async () => {
    expect((await copy({}, "copy me+%")).code).toBe("InvalidRequest");
    expect((await copy({ "x-amz-metadata-directive": "REPLACE" }, "copy me+%")).status).toBe(200);
  });

  it("is never taken for an upload of nothing where it cannot be one", async () => {
    const { code } = await registry.send("DELETE", "/code/copied", { headers: source });
    expect(code).toBe("InvalidRequest");
  });
});
