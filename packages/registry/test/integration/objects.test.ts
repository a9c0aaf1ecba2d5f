import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { READER, TestRegistry, type TestReply, UPLOADER } from "../support/registry.ts";

let registry: TestRegistry;
beforeAll(async () => {
  registry = await TestRegistry.start();
});
afterAll(() => registry[Symbol.asyncDispose]());

const HELLO = "hello, world";
const HELLO_MD5 = createHash("md5").update(HELLO).digest();
const crc32Of = (text: string): string => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc32(text));
  return bytes.toString("base64");
};
const crcField = { "x-amz-checksum-crc32": crc32Of(HELLO) };

describe("an object", () => {
  it("comes back as it was put, with its header fields", async () => {
    const headers = {
      "content-type": "text/x-greeting",
      "cache-control": "max-age=5",
      "content-encoding": "aws-chunked,gzip",
      "content-disposition": 'attachment; filename="a b"',
      expires: "Sun, 29 Nov 2026 09:30:42 GMT",
      "x-amz-meta-colour": "blue  green",
    };
    const put = await registry.send("PUT", "/code/handlers/a.txt", { headers, body: HELLO, as: UPLOADER });
    expect([put.status, put.headers.etag, put.text]).toEqual([200, `"${HELLO_MD5.toString("hex")}"`, ""]);
    const got = await registry.send("GET", "/code/handlers/a.txt", { as: READER });
    expect([got.status, got.text]).toEqual([200, HELLO]);
    expect(got.headers).toMatchObject({
      ...headers,
      "content-encoding": "gzip",
      "content-length": "12",
      etag: put.headers.etag,
      "accept-ranges": "bytes",
    });
    expect(got.headers["last-modified"]).toMatch(/GMT$/u);
    const head = await registry.send("HEAD", "/code/handlers/a.txt", { as: READER });
    const { date: _, ...same } = got.headers;
    expect([head.status, head.text]).toEqual([200, ""]);
    expect(head.headers).toMatchObject({
      ...same,
      "x-amz-request-id": expect.any(String),
      "x-amz-id-2": expect.any(String),
    });
  });

  it.each([
    "a b+c%d&e=f?g#h;i",
    "ü/\u{1f600}/日本",
    "..",
    "../../etc/passwd",
    "a//b/",
    ".",
    "~!*'()",
    "a\u0001\u001f\u007fb",
    "<&>\"'",
    "k".repeat(1024),
  ])("is found under exactly its key: %j", async (key) => {
    const put = await registry.send("PUT", `/code/${key}`, { body: key });
    expect(put.status).toBe(200);
    expect((await registry.send("GET", `/code/${key}`)).text).toBe(key);
    expect(registry.store.head("code", key).size).toBe(Buffer.byteLength(key));
    await registry.send("DELETE", `/code/${key}`);
    expect((await registry.send("GET", `/code/${key}`)).code).toBe("NoSuchKey");
  });

  it("may be empty, and has a type of its own only if one was given", async () => {
    expect((await registry.send("PUT", "/code/empty", { body: "" })).status).toBe(200);
    const { status, headers, text } = await registry.send("GET", "/code/empty");
    expect([status, headers["content-length"], headers["content-type"], text]).toEqual([
      200,
      "0",
      "binary/octet-stream",
      "",
    ]);
  });

  it("is refused with a key that is too long, and with too much metadata", async () => {
    expect((await registry.send("PUT", `/code/${"k".repeat(1025)}`, { body: "x" })).code).toBe(
      "KeyTooLongError",
    );
    const headers = { "x-amz-meta-a": "x".repeat(2048) };
    expect((await registry.send("PUT", "/code/meta", { body: "x", headers })).code).toBe("MetadataTooLarge");
  });

  it.each([
    ["x-amz-server-side-encryption", "AES256"],
    ["x-amz-acl", "public-read"],
    ["x-amz-storage-class", "GLACIER"],
    ["x-amz-tagging", "a=b"],
    ["x-amz-object-lock-mode", "GOVERNANCE"],
    ["x-amz-grant-read", "id=1"],
  ])("is not stored if %s asks for what there is not", async (name, value) => {
    const { status, code } = await registry.send("PUT", "/code/unsupported", {
      body: "x",
      headers: { [name]: value },
    });
    expect([status, code]).toEqual([501, "NotImplemented"]);
    expect((await registry.send("GET", "/code/unsupported")).code).toBe("NoSuchKey");
  });

  it("is gone once it is deleted, and deleting it again is no mistake", async () => {
    await registry.send("PUT", "/code/gone", { body: "x" });
    expect((await registry.send("DELETE", "/code/gone", { as: UPLOADER })).status).toBe(204);
    expect((await registry.send("DELETE", "/code/gone", { as: UPLOADER })).status).toBe(204);
    const { status, code, headers } = await registry.send("GET", "/code/gone");
    expect([status, code, headers["content-type"]]).toEqual([404, "NoSuchKey", "application/xml"]);
    const head = await registry.send("HEAD", "/code/gone");
    expect([head.status, head.text]).toEqual([404, ""]);
  });

  it("has one version, which is called null", async () => {
    await registry.send("PUT", "/code/version", { body: "x" });
    expect((await registry.send("GET", "/code/version", { query: { versionId: "null" } })).text).toBe("x");
    expect((await registry.send("GET", "/code/version", { query: { versionId: "3" } })).code).toBe(
      "NoSuchVersion",
    );
    expect((await registry.send("DELETE", "/code/version", { query: { versionId: "3" } })).code).toBe(
      "NoSuchVersion",
    );
  });
});

describe("a part of an object", () => {
  beforeAll(() => registry.send("PUT", "/code/digits", { body: "0123456789" }));

  it.each([
    ["bytes=0-0", 206, "0", "bytes 0-0/10"],
    ["bytes=2-4", 206, "234", "bytes 2-4/10"],
    ["bytes=8-", 206, "89", "bytes 8-9/10"],
    ["bytes=8-100", 206, "89", "bytes 8-9/10"],
    ["bytes=-3", 206, "789", "bytes 7-9/10"],
    ["bytes=-100", 206, "0123456789", "bytes 0-9/10"],
    // What HTTP lets a server ignore.
    ["bytes=4-2", 200, "0123456789", undefined],
    ["bytes=0-1,3-4", 200, "0123456789", undefined],
    ["lines=1-2", 200, "0123456789", undefined],
    ["bytes=-", 200, "0123456789", undefined],
  ])("is what Range asks for: %s", async (range, status, text, contentRange) => {
    const got = await registry.send("GET", "/code/digits", { headers: { range } });
    expect([got.status, got.text, got.headers["content-range"]]).toEqual([status, text, contentRange]);
  });

  it.each(["bytes=10-", "bytes=100-200", "bytes=-0"])(
    "is refused if the object has none of %s",
    async (range) => {
      const got = await registry.send("GET", "/code/digits", { headers: { range } });
      expect([got.status, got.code, got.headers["content-range"]]).toEqual([
        416,
        "InvalidRange",
        "bytes */10",
      ]);
    },
  );

  it("is given only of the version that If-Range names", async () => {
    const { etag = "" } = (await registry.send("HEAD", "/code/digits")).headers;
    const got = (ifRange: string) =>
      registry.send("GET", "/code/digits", { headers: { range: "bytes=0-1", "if-range": ifRange } });
    expect((await got(etag)).status).toBe(206);
    expect((await got('"other"')).status).toBe(200);
  });
});

const getConditions = (headers: Readonly<Record<string, string>>): Promise<TestReply> =>
  registry.send("GET", "/code/conditions", { headers });

describe("conditions", () => {
  let etag = "";
  let modified = "";
  beforeAll(async () => {
    await registry.send("PUT", "/code/conditions", { body: "x" });
    ({ etag = "", "last-modified": modified = "" } = (
      await registry.send("HEAD", "/code/conditions")
    ).headers);
  });
  const before = "Sun, 06 Nov 1994 08:49:37 GMT";

  it("answer 304 with the ETag and no body for what the client has", async () => {
    for (const headers of [
      { "if-none-match": etag },
      { "if-none-match": "*" },
      { "if-none-match": `"a", ${etag}` },
      { "if-modified-since": modified },
    ]) {
      const got = await getConditions(headers);
      expect([got.status, got.headers.etag, got.text, got.headers["content-length"]]).toEqual([
        304,
        etag,
        "",
        undefined,
      ]);
    }
  });

  it("answer 412 for what is not as the client wants it", async () => {
    expect((await getConditions({ "if-match": '"other"' })).code).toBe("PreconditionFailed");
    expect((await getConditions({ "if-unmodified-since": before })).code).toBe("PreconditionFailed");
  });

  it("let the rest through, in HTTP's order", async () => {
    for (const headers of [
      { "if-match": etag, "if-unmodified-since": before },
      { "if-none-match": '"other"', "if-modified-since": modified },
      { "if-modified-since": before },
      { "if-unmodified-since": modified },
      { "if-modified-since": "yesterday" },
      { "if-match": "*" },
    ])
      expect((await getConditions(headers)).status).toBe(200);
  });

  it("keep a write from replacing what it should not", async () => {
    const put = (headers: Readonly<Record<string, string>>, key = "conditions") =>
      registry.send("PUT", `/code/${key}`, { headers, body: "y" });
    expect((await put({ "if-none-match": "*" })).code).toBe("PreconditionFailed");
    expect((await put({ "if-match": '"other"' })).code).toBe("PreconditionFailed");
    expect((await put({ "if-match": etag }, "nothing-there")).status).toBe(404);
    expect((await registry.send("GET", "/code/conditions")).text).toBe("x");
    expect((await put({ "if-none-match": "*" }, "new")).status).toBe(200);
    expect((await put({ "if-match": etag })).status).toBe(200);
    expect((await registry.send("DELETE", "/code/conditions", { headers: { "if-match": etag } })).code).toBe(
      "PreconditionFailed",
    );
  });

  it("let exactly one of many create-only writes at once through", async () => {
    const puts = Array.from({ length: 12 }, (_, number) =>
      registry.send("PUT", "/code/race", { headers: { "if-none-match": "*" }, body: `writer ${number}` }),
    );
    const replies = await Promise.all(puts);
    const winners = replies.flatMap(({ status }, number) => (status === 200 ? [number] : []));
    expect(winners).toHaveLength(1);
    expect(replies.filter(({ code }) => code === "PreconditionFailed")).toHaveLength(11);
    expect((await registry.send("GET", "/code/race")).text).toBe(`writer ${winners[0]}`);
  });
});

describe("a checksum", () => {
  it("is kept, and shown to who asks for it, of the whole object only", async () => {
    const put = await registry.send("PUT", "/code/sum", { body: HELLO, headers: crcField });
    expect([put.status, put.headers["x-amz-checksum-crc32"], put.headers["x-amz-checksum-type"]]).toEqual([
      200,
      crcField["x-amz-checksum-crc32"],
      "FULL_OBJECT",
    ]);
    const mode = { "x-amz-checksum-mode": "ENABLED" };
    expect((await registry.send("GET", "/code/sum", { headers: mode })).headers).toMatchObject(crcField);
    expect((await registry.send("GET", "/code/sum")).headers).not.toHaveProperty("x-amz-checksum-crc32");
    const part = await registry.send("GET", "/code/sum", { headers: { ...mode, range: "bytes=0-1" } });
    expect(part.headers).not.toHaveProperty("x-amz-checksum-crc32");
  });

  it.each([
    ["a wrong one", { "x-amz-checksum-crc32": crc32Of("other") }, "XAmzContentChecksumMismatch"],
    ["one that is none", { "x-amz-checksum-crc32": "hello" }, "InvalidRequest"],
    ["two", { ...crcField, "x-amz-checksum-crc32c": "AAAAAA==" }, "InvalidRequest"],
    ["an unknown one", { "x-amz-checksum-crc128": "AAAAAA==" }, "NotImplemented"],
    ["a wrong MD5", { "content-md5": createHash("md5").update("other").digest("base64") }, "BadDigest"],
    ["an MD5 that is none", { "content-md5": "hello" }, "InvalidDigest"],
    ["a wrong hash", { "x-amz-content-sha256": "a".repeat(64) }, "XAmzContentSHA256Mismatch"],
  ])("keeps an object from being stored if it is %s", async (_, headers, code) => {
    expect((await registry.send("PUT", "/code/bad-sum", { body: HELLO, headers })).code).toBe(code);
    expect((await registry.send("GET", "/code/bad-sum")).code).toBe("NoSuchKey");
  });

  it("of MD5 that is right is accepted", async () => {
    const headers = { "content-md5": HELLO_MD5.toString("base64") };
    expect((await registry.send("PUT", "/code/md5", { body: HELLO, headers })).status).toBe(200);
  });
});
