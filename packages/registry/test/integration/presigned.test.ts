import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { READER, TestRegistry, UPLOADER } from "../support/registry.ts";

let registry: TestRegistry;
beforeAll(async () => {
  registry = await TestRegistry.start();
});
afterAll(() => registry[Symbol.asyncDispose]());

const HELLO = "hello, world";

describe("a presigned URL", () => {
  const unsigned = { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" };

  it("reads and writes without further headers, and sets those of the reply", async () => {
    const put = await registry.send("PUT", "/code/presigned", {
      body: HELLO,
      presignedFor: 60,
      headers: unsigned,
      as: UPLOADER,
    });
    expect(put.status).toBe(200);
    const query = {
      "response-content-type": "text/plain",
      "response-content-disposition": 'attachment; filename="ü"',
    };
    const got = await registry.send("GET", "/code/presigned", { presignedFor: 60, headers: unsigned, query });
    expect([got.status, got.text, got.headers["content-type"]]).toEqual([200, HELLO, "text/plain"]);
    expect(Buffer.from(String(got.headers["content-disposition"]), "latin1").toString()).toBe(
      'attachment; filename="ü"',
    );
    const bad = await registry.send("GET", "/code/presigned", {
      query: { "response-content-type": "a\r\nb: c" },
    });
    expect(bad.code).toBe("InvalidArgument");
  });

  it("with the checksum of an empty body in it, as AWS's SDK makes them, takes any body", async () => {
    const headers = {
      ...unsigned,
      "x-amz-checksum-crc32": "AAAAAA==",
      "x-amz-sdk-checksum-algorithm": "CRC32",
    };
    const put = await registry.send("PUT", "/code/presigned-sum", { body: HELLO, presignedFor: 60, headers });
    expect(put.status).toBe(200);
    expect((await registry.send("GET", "/code/presigned-sum")).text).toBe(HELLO);
  });

  it("carries metadata, and a copy is a copy", async () => {
    const headers = { ...unsigned, "x-amz-meta-colour": "grün" };
    await registry.send("PUT", "/code/presigned-meta", { body: HELLO, presignedFor: 60, headers });
    const got = await registry.send("GET", "/code/presigned-meta");
    expect(Buffer.from(String(got.headers["x-amz-meta-colour"]), "latin1").toString()).toBe("grün");
    const copy = { ...unsigned, "x-amz-copy-source": "/code/presigned-meta" };
    const { status, text } = await registry.send("PUT", "/code/presigned-copy", {
      presignedFor: 60,
      headers: copy,
    });
    expect({ status, text }).toMatchObject({ status: 200 });
    expect((await registry.send("GET", "/code/presigned-copy")).text).toBe(HELLO);
  });

  it.each(["x-amz-meta-a", "x-amz-meta-a b", "x-amz-meta-a:"])(
    "stores no metadata that could not be given back: %s",
    async (name) => {
      const query = { [name]: name === "x-amz-meta-a" ? "b\r\nc: d" : "b" };
      const put = await registry.send("PUT", "/code/presigned-bad", {
        body: "x",
        presignedFor: 60,
        headers: unsigned,
        query,
      });
      expect(put.code).toBe("InvalidArgument");
      expect((await registry.send("GET", "/code/presigned-bad")).code).toBe("NoSuchKey");
    },
  );

  it("gives no more rights than the key that signed it", async () => {
    const { status, code } = await registry.send("PUT", "/code/x", {
      body: "x",
      presignedFor: 60,
      headers: unsigned,
      as: READER,
    });
    expect([status, code]).toEqual([403, "AccessDenied"]);
  });
});
