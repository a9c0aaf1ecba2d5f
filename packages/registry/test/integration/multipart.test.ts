import { createHash } from "node:crypto";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { READER, TestRegistry, type TestReply, UPLOADER } from "../support/registry.ts";

let registry: TestRegistry;
beforeAll(async () => {
  registry = await TestRegistry.start();
});
afterAll(() => registry[Symbol.asyncDispose]());

const MIB = 1024 * 1024;
const [FIRST, SECOND] = [Buffer.alloc(5 * MIB, "1"), Buffer.from("the end")];
const element = (text: string, name: string): string =>
  new RegExp(`<${name}>(?<inside>[^<]*)<`, "u").exec(text)?.groups?.["inside"] ?? "";
const md5 = (data: Buffer): Buffer => createHash("md5").update(data).digest();

const begin = async (key: string, headers: Readonly<Record<string, string>> = {}): Promise<string> => {
  const { text } = await registry.send("POST", `/code/${key}`, {
    query: { uploads: "" },
    body: "",
    headers,
    as: UPLOADER,
  });
  return element(text, "UploadId");
};
const part = (key: string, uploadId: string, number: number | string, body: Buffer): Promise<TestReply> =>
  registry.send("PUT", `/code/${key}`, {
    query: { partNumber: String(number), uploadId },
    body,
    as: UPLOADER,
  });
const document = (parts: readonly (readonly [number: number, etag: string])[]): string =>
  `<CompleteMultipartUpload>${parts.map(([number, etag]) => `<Part><PartNumber>${number}</PartNumber><ETag>${etag}</ETag></Part>`).join("")}</CompleteMultipartUpload>`;
const complete = (
  key: string,
  uploadId: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<TestReply> =>
  registry.send("POST", `/code/${key}`, { query: { uploadId }, body, headers, as: UPLOADER });

describe("an upload in parts", () => {
  it("becomes one object, whose completion can be repeated", async () => {
    const uploadId = await begin("parts", { "content-type": "text/parts", "x-amz-meta-a": "b" });
    const etags = [];
    for (const [index, body] of [FIRST, SECOND].entries()) {
      const reply = await part("parts", uploadId, index + 1, body);
      expect(reply.status).toBe(200);
      etags.push(String(reply.headers.etag));
    }
    expect((await registry.send("GET", "/code/parts")).code).toBe("NoSuchKey");
    // Quoted as Go's clients do.
    const body = document(etags.map((etag, index) => [index + 1, etag.replaceAll('"', "&#34;")]));
    const done = await complete("parts", uploadId, body);
    const etag = `${createHash("md5")
      .update(Buffer.concat([md5(FIRST), md5(SECOND)]))
      .digest("hex")}-2`;
    expect(done).toMatchObject({ status: 200 });
    expect(element(done.text, "ETag")).toBe(`&quot;${etag}&quot;`);
    const got = await registry.send("GET", "/code/parts", { as: READER });
    expect(got.body.equals(Buffer.concat([FIRST, SECOND]))).toBe(true);
    expect(got.headers).toMatchObject({
      etag: `"${etag}"`,
      "content-type": "text/parts",
      "x-amz-meta-a": "b",
    });
    const again = await complete("parts", uploadId, body);
    expect([again.status, element(again.text, "ETag")]).toEqual([200, `&quot;${etag}&quot;`]);
  });

  it("is listed with its parts until it is aborted", async () => {
    const uploadId = await begin("list/ed");
    await part("list/ed", uploadId, 3, SECOND);
    await part("list/ed", uploadId, 1, SECOND);
    const uploads = await registry.send("GET", "/code", {
      query: { uploads: "", prefix: "list/", "encoding-type": "url" },
      as: READER,
    });
    expect(uploads.text).toContain(`<Upload><Key>list/ed</Key><UploadId>${uploadId}</UploadId>`);
    const parts = (query: Record<string, string>) =>
      registry.send("GET", "/code/list/ed", { query: { uploadId, ...query }, as: READER });
    const all = await parts({});
    expect(
      [...all.text.matchAll(/<PartNumber>(?<number>\d+)</gu)].map((match) => match.groups?.["number"]),
    ).toEqual(["1", "3"]);
    const first = await parts({ "max-parts": "1" });
    expect([element(first.text, "IsTruncated"), element(first.text, "NextPartNumberMarker")]).toEqual([
      "true",
      "1",
    ]);
    expect(element((await parts({ "part-number-marker": "1" })).text, "PartNumber")).toBe("3");
    const abort = await registry.send("DELETE", "/code/list/ed", { query: { uploadId }, as: UPLOADER });
    expect(abort.status).toBe(204);
    expect((await parts({})).code).toBe("NoSuchUpload");
    expect((await part("list/ed", uploadId, 1, SECOND)).code).toBe("NoSuchUpload");
  });

  it("is refused with parts that are not there, in another order, or too small", async () => {
    const uploadId = await begin("wrong");
    const small = String((await part("wrong", uploadId, 1, SECOND)).headers.etag);
    await part("wrong", uploadId, 2, SECOND);
    const large = String((await part("wrong", uploadId, 3, FIRST)).headers.etag);
    const code = async (body: string): Promise<string | undefined> =>
      (await complete("wrong", uploadId, body)).code;
    expect(await code(document([[1, '"other"']]))).toBe("InvalidPart");
    expect(await code(document([[4, small]]))).toBe("InvalidPart");
    expect(
      await code(
        document([
          [3, large],
          [1, small],
        ]),
      ),
    ).toBe("InvalidPartOrder");
    expect(
      await code(
        document([
          [1, small],
          [2, small],
        ]),
      ),
    ).toBe("EntityTooSmall");
    expect(await code(document([]))).toBe("MalformedXML");
    expect(await code("")).toBe("MalformedXML");
    expect(
      await code(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
      ),
    ).toBe("MalformedXML");
    for (const number of [0, 10_001, "x", ""])
      expect((await part("wrong", uploadId, number, SECOND)).code).toBe("InvalidArgument");
    expect((await part("wrong", "no-such-upload", 1, SECOND)).code).toBe("NoSuchUpload");
    expect((await part("other-key", uploadId, 1, SECOND)).code).toBe("NoSuchUpload");
    expect(await code(document([[1, small]]))).toBe(undefined);
    expect((await registry.send("GET", "/code/wrong")).text).toBe("the end");
  });

  it("takes parts from objects", async () => {
    await registry.send("PUT", "/code/digits", { body: "0123456789" });
    const uploadId = await begin("from");
    const copyPart = (headers: Record<string, string>) =>
      registry.send("PUT", "/code/from", {
        query: { partNumber: "1", uploadId },
        headers: { "x-amz-copy-source": "/code/digits", ...headers },
        as: UPLOADER,
      });
    expect((await copyPart({ "x-amz-copy-source-range": "bytes=2-100" })).code).toBe("InvalidRange");
    expect((await copyPart({ "x-amz-copy-source-range": "bytes=2-" })).code).toBe("InvalidArgument");
    expect((await copyPart({ "x-amz-copy-source-if-match": '"other"' })).code).toBe("PreconditionFailed");
    const { status, text } = await copyPart({ "x-amz-copy-source-range": "bytes=2-4" });
    expect({ status, text }).toMatchObject({ status: 200 });
    const etag = element(text, "ETag").replaceAll("&quot;", "");
    expect(etag).toBe(md5(Buffer.from("234")).toString("hex"));
    expect((await complete("from", uploadId, document([[1, etag]]))).status).toBe(200);
    expect((await registry.send("GET", "/code/from")).text).toBe("234");
  });

  it("is not completed over an object that must not be replaced", async () => {
    await registry.send("PUT", "/code/taken", { body: "there" });
    const uploadId = await begin("taken");
    const etag = String((await part("taken", uploadId, 1, SECOND)).headers.etag);
    expect((await complete("taken", uploadId, document([[1, etag]]), { "if-none-match": "*" })).code).toBe(
      "PreconditionFailed",
    );
    expect((await registry.send("GET", "/code/taken")).text).toBe("there");
  });

  it("takes the checksum in the header of its completion for that of the object, as mc sends it", async () => {
    const uploadId = await begin("sums", {
      "x-amz-checksum-algorithm": "CRC32C",
      "x-amz-checksum-type": "COMPOSITE",
    });
    const reply = await registry.send("PUT", "/code/sums", {
      query: { partNumber: "1", uploadId },
      body: SECOND,
      headers: { "x-amz-checksum-crc32c": "4PF9HA==" },
      as: UPLOADER,
    });
    const sum = reply.headers["x-amz-checksum-crc32c"];
    // Not the client's own, which was made up.
    expect(reply.code).toBe("XAmzContentChecksumMismatch");
    expect(sum).toBe(undefined);
    const right = await registry.send("PUT", "/code/sums", {
      query: { partNumber: "1", uploadId },
      body: SECOND,
      as: UPLOADER,
    });
    const etag = String(right.headers.etag);
    const own = String(right.headers["x-amz-checksum-crc32c"]);
    expect(own).toMatch(/^[A-Za-z0-9+/]{6}==$/u);
    expect(
      (await complete("sums", uploadId, document([[1, etag]]), { "x-amz-checksum-crc32c": "AAAAAA==-1" }))
        .code,
    ).toBe("BadDigest");
    const { status, text } = await complete("sums", uploadId, document([[1, etag]]));
    expect([status, element(text, "ChecksumType")]).toEqual([200, "COMPOSITE"]);
    expect(element(text, "ChecksumCRC32C")).toMatch(/==-1$/u);
  });
});
