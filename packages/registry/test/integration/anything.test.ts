import * as fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";

import type { Logger } from "@ol/common";

import { TestRegistry } from "../support/registry.ts";
import { runs, SEED } from "../support/seed.ts";

let registry: TestRegistry;
const complaints: string[] = [];
const note = (message: string, fields?: unknown): void =>
  void complaints.push(`${message} ${JSON.stringify(fields)}`);
const ignore = (): void => undefined;
const logger: Logger = { debug: ignore, info: ignore, warn: note, error: note };
beforeAll(async () => {
  registry = await TestRegistry.start({ logger, limits: { idleMs: 5_000 } });
});
afterAll(() => registry[Symbol.asyncDispose]());

const text = fc.oneof(
  fc.constantFrom("", "0", "1", "-1", "2", "null", "/", "url", "code/a", "bytes=0-1", "99999999999"),
  fc.string({ unit: "grapheme" }),
);
const parameter = fc.constantFrom(
  "acl",
  "attributes",
  "continuation-token",
  "cors",
  "delete",
  "delimiter",
  "encoding-type",
  "fetch-owner",
  "key-marker",
  "list-type",
  "location",
  "marker",
  "max-keys",
  "max-parts",
  "max-uploads",
  "object-lock",
  "part-number-marker",
  "partNumber",
  "policy",
  "prefix",
  "response-content-type",
  "response-expires",
  "restore",
  "select",
  "start-after",
  "tagging",
  "torrent",
  "upload-id-marker",
  "uploadId",
  "uploads",
  "versionId",
  "versioning",
  "versions",
  "x-id",
);
const field = fc.constantFrom(
  "content-encoding",
  "content-md5",
  "content-type",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "range",
  "x-amz-acl",
  "x-amz-checksum-algorithm",
  "x-amz-checksum-crc32",
  "x-amz-checksum-mode",
  "x-amz-checksum-type",
  "x-amz-copy-source",
  "x-amz-copy-source-if-match",
  "x-amz-copy-source-range",
  "x-amz-decoded-content-length",
  "x-amz-meta-a",
  "x-amz-metadata-directive",
  "x-amz-sdk-checksum-algorithm",
  "x-amz-storage-class",
  "x-amz-trailer",
);
/** What a header field can carry. */
const value = text.map((any) => any.replaceAll(/[^ -~]/gu, "").trim());
const body = fc.constantFrom(
  "",
  "hello",
  "<Delete><Object><Key>a</Key></Object></Delete>",
  "<Delete/>",
  "5\r\nhello\r\n0\r\n\r\n",
  "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
  "<CreateBucketConfiguration><LocationConstraint/></CreateBucketConfiguration>",
  "<".repeat(1000),
  "\0",
);
const payload = fc.constantFrom(
  undefined,
  "UNSIGNED-PAYLOAD",
  "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
  "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
  "a".repeat(64),
  "nonsense",
);

it("whatever a signed request asks for is answered in S3's words, and is never a fault of the server", async () => {
  const property = fc.asyncProperty(
    fc.constantFrom("GET", "HEAD", "PUT", "POST", "DELETE"),
    fc.oneof(
      fc.constantFrom("/", "/code", "/code/a", "/code/", "//", "/nothing/a", "/other"),
      text.map((key) => `/code/${key}`),
    ),
    fc.dictionary(parameter, text, { maxKeys: 3 }),
    fc.dictionary(field, value, { maxKeys: 3 }),
    body,
    payload,
    async (method, path, query, headers, content, hash) => {
      const all = { ...headers, ...(hash !== undefined && { "x-amz-content-sha256": hash }) };
      const reply = await registry.send(method, path, { query, headers: all, body: content });
      const { status, code } = reply;
      // 501: what S3 has and this server has not.
      expect(status >= 500 && status !== 501 ? reply.text : "").toBe("");
      expect(method === "HEAD" || status < 400 || code !== undefined).toBe(true);
    },
  );
  await fc.assert(property, { numRuns: runs(10_000), seed: SEED });
  expect(complaints).toEqual([]);
  expect(await registry.temporaryFiles()).toBe(0);
}, 600_000);
