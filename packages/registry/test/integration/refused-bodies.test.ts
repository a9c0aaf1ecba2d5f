import { connect } from "node:net";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { awsSign, type WireRequest } from "../support/aws-signer.ts";
import { ChunkWriter } from "../support/chunk-writer.ts";
import { TestRegistry, type TestReply, UPLOADER } from "../support/registry.ts";

let registry: TestRegistry;
beforeAll(async () => {
  registry = await TestRegistry.start();
});
afterAll(() => registry[Symbol.asyncDispose]());

const DATA = Buffer.from("hello, world");
const CRC32 = "x-amz-checksum-crc32";
const EMPTY = Buffer.alloc(0);
const END = Buffer.from("\r\n");

/** An upload whose header is right. */
const signedPut = (headers: Readonly<Record<string, string>>): Promise<WireRequest> =>
  awsSign(
    { method: "PUT", path: "/code/refused", query: {}, headers },
    { ...UPLOADER, region: "us-east-1", at: new Date() },
  );

const chunksOf = ({ rawHeaders }: WireRequest): ChunkWriter => {
  const field = (name: string): string => rawHeaders[rawHeaders.indexOf(name) + 1] ?? "";
  const signature = field("authorization").slice(-64);
  return new ChunkWriter({
    secretKey: UPLOADER.secretKey,
    time: field("x-amz-date"),
    region: "us-east-1",
    signature,
  });
};

/** Sends an upload in signed chunks, after `change` has had its way with them. */
const sendChunks = async (
  change: (chunks: readonly Buffer[]) => readonly Buffer[],
  trailer?: string,
): Promise<TestReply> => {
  const kind = trailer === undefined ? "" : "-TRAILER";
  const wire = await signedPut({
    "x-amz-content-sha256": `STREAMING-AWS4-HMAC-SHA256-PAYLOAD${kind}`,
    "x-amz-decoded-content-length": String(2 * DATA.length),
    ...(trailer !== undefined && { "x-amz-trailer": CRC32 }),
  });
  const writer = chunksOf(wire);
  const chunks = [DATA, DATA, EMPTY].map((data) => writer.chunk(data));
  const last = trailer === undefined ? END : writer.trailer(CRC32, trailer);
  return registry.raw("PUT", wire.url, wire.rawHeaders, Buffer.concat([...change([...chunks, last])]));
};

/** Nothing of a refused upload is to be found, neither as an object nor on the disk. */
const expectNothing = async (): Promise<void> => {
  expect((await registry.send("GET", "/code/refused")).code).toBe("NoSuchKey");
  expect(await registry.temporaryFiles()).toBe(0);
  expect(registry.store.stats()).toMatchObject({ objects: 0, blobs: 0 });
};

const RIGHT = "vwy6AA==";

const flipped = (chunk: Buffer, at: number): Buffer => {
  const copy = Buffer.from(chunk);
  copy[at] = (copy[at] as number) ^ 1;
  return copy;
};

describe("an upload in signed chunks", () => {
  it.each([
    [
      "a byte is flipped",
      ([a, b, ...rest]: readonly Buffer[]) => [flipped(a as Buffer, 95), b, ...rest],
      "SignatureDoesNotMatch",
    ],
    ["two are swapped", ([a, b, ...rest]: readonly Buffer[]) => [b, a, ...rest], "SignatureDoesNotMatch"],
    ["one is left away", ([a, , ...rest]: readonly Buffer[]) => [a, ...rest], "SignatureDoesNotMatch"],
    ["one is there twice", ([a, , ...rest]: readonly Buffer[]) => [a, a, ...rest], "SignatureDoesNotMatch"],
    ["one is too many", ([a, b, ...rest]: readonly Buffer[]) => [a, b, b, ...rest], "InvalidRequest"],
    ["the last is missing", ([a, b]: readonly Buffer[]) => [a, b], "IncompleteBody"],
    ["something follows", (chunks: readonly Buffer[]) => [...chunks, DATA], "InvalidRequest"],
  ] as readonly [string, (chunks: readonly Buffer[]) => Buffer[], string][])(
    "is refused if %s",
    async (_, change, code) => {
      expect((await sendChunks(change)).code).toBe(code);
      await expectNothing();
    },
  );

  it("is stored if everything is right, with a trailing header and without", async () => {
    for (const trailer of [undefined, RIGHT]) {
      const { status, text } = await sendChunks((chunks) => chunks, trailer);
      expect({ status, text }).toMatchObject({ status: 200 });
      expect((await registry.send("GET", "/code/refused")).text).toBe(`${DATA.toString()}${DATA.toString()}`);
      await registry.send("DELETE", "/code/refused");
    }
    await expectNothing();
  });

  it("is refused if its trailing header is wrong", async () => {
    const changed = await sendChunks(
      (chunks) => [
        ...chunks.slice(0, 3),
        Buffer.from((chunks[3] as Buffer).toString().replace(RIGHT, "AAAAAA==")),
      ],
      RIGHT,
    );
    expect(changed.code).toBe("SignatureDoesNotMatch");
    await expectNothing();
    // Signed, but not the content's.
    expect((await sendChunks((chunks) => chunks, "AAAAAA==")).code).toBe("XAmzContentChecksumMismatch");
    await expectNothing();
    expect((await sendChunks((chunks) => chunks, "nonsense")).code).toBe("InvalidRequest");
    await expectNothing();
    expect((await sendChunks((chunks) => [...chunks.slice(0, 3), END], RIGHT)).code).toBe("InvalidRequest");
    await expectNothing();
  });
});

describe("an upload with a trailing header that is not signed", () => {
  const send = async (
    body: string,
    headers: Readonly<Record<string, string>> = {},
    more: readonly string[] = [],
  ): Promise<TestReply> => {
    const wire = await signedPut({
      "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
      "x-amz-decoded-content-length": String(DATA.length),
      "x-amz-trailer": CRC32,
      ...headers,
    });
    return registry.raw("PUT", wire.url, [...wire.rawHeaders, ...more], body);
  };

  it.each([
    [
      "another checksum",
      `c\r\n${DATA.toString()}\r\n0\r\n${CRC32}:AAAAAA==\r\n\r\n`,
      "XAmzContentChecksumMismatch",
    ],
    ["none", `c\r\n${DATA.toString()}\r\n0\r\n\r\n`, "InvalidRequest"],
    ["no end", `c\r\n${DATA.toString()}\r\n0\r\n${CRC32}:/6tyOg==\r\n`, "IncompleteBody"],
    [
      "less content",
      `b\r\n${DATA.subarray(1).toString()}\r\n0\r\n${CRC32}:AAAAAA==\r\n\r\n`,
      "IncompleteBody",
    ],
    ["more content", `d\r\n${DATA.toString()}!\r\n0\r\n${CRC32}:AAAAAA==\r\n\r\n`, "InvalidRequest"],
    ["no chunks", DATA.toString(), "IncompleteBody"],
  ])("is refused with %s", async (_, body, code) => {
    expect((await send(body)).code).toBe(code);
    await expectNothing();
  });

  it("is refused if it does not say how long it is, or names two checksums", async () => {
    const body = `c\r\n${DATA.toString()}\r\n0\r\n${CRC32}:/6tyOg==\r\n\r\n`;
    const wire = await signedPut({ "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER" });
    expect((await registry.raw("PUT", wire.url, wire.rawHeaders, body)).code).toBe("MissingContentLength");
    expect((await send(body, { "x-amz-trailer": `${CRC32},x-amz-checksum-sha1` })).code).toBe(
      "InvalidRequest",
    );
    expect((await send(body, { "x-amz-checksum-sha1": "2jmj7l5rSw0yVb/vlWAYkK/YBwk=" })).code).toBe(
      "InvalidRequest",
    );
    await expectNothing();
  });

  it("is taken without a Content-Length, as boto3 sends it over TLS", async () => {
    const body = `c\r\n${DATA.toString()}\r\n0\r\n${CRC32}:/6tyOg==\r\n\r\n`;
    const { status, text } = await send(body, {}, ["transfer-encoding", "chunked"]);
    expect({ status, text }).toMatchObject({ status: 200 });
    expect((await registry.send("GET", "/code/refused")).text).toBe(DATA.toString());
    await registry.send("DELETE", "/code/refused");
    await expectNothing();
  });
});

describe("an upload that ends early", () => {
  it("is not stored, whatever its client does then", async () => {
    const wire = await signedPut({ "x-amz-content-sha256": "UNSIGNED-PAYLOAD" });
    const fields = wire.rawHeaders.map((text, at) => (at % 2 === 0 ? `${text}: ` : `${text}\r\n`)).join("");
    const socket = connect(registry.server.port, "127.0.0.1");
    socket.write(`PUT ${wire.url} HTTP/1.1\r\n${fields}content-length: 100\r\n\r\nhello`);
    await expect.poll(() => registry.server.stats().requests.running).toBe(1);
    socket.destroy();
    await expect.poll(() => registry.server.stats().requests.running).toBe(0);
    await expect.poll(() => registry.temporaryFiles()).toBe(0);
    await expectNothing();
  });

  it("is refused without a length", async () => {
    const wire = await signedPut({ "x-amz-content-sha256": "UNSIGNED-PAYLOAD" });
    const { status, code } = await registry.raw(
      "PUT",
      wire.url,
      [...wire.rawHeaders, "transfer-encoding", "chunked"],
      DATA,
    );
    expect([status, code]).toEqual([411, "MissingContentLength"]);
    await expectNothing();
  });

  it("is refused if nothing is hashed although it says so", async () => {
    const wire = await signedPut({
      "x-amz-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    });
    expect((await registry.raw("PUT", wire.url, wire.rawHeaders, DATA)).code).toBe(
      "XAmzContentSHA256Mismatch",
    );
    await expectNothing();
  });
});
