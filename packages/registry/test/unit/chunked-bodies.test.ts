import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { type ChunkedBody, decodeChunks } from "../../src/protocol/aws-chunked.ts";
import { ChunkSigner } from "../../src/protocol/chunk-signer.ts";
import { sha256Hex, signingKey } from "../../src/protocol/signature.ts";
import { isS3Error } from "../../src/s3-error.ts";
import { ChunkWriter } from "../support/chunk-writer.ts";
import { runs, SEED } from "../support/seed.ts";

// "Signature calculations for the Authorization header: transferring payload in multiple chunks", S3's documentation.
const SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const TIME = "20130524T000000Z";
const SCOPE = { date: "20130524", region: "us-east-1" };
const SEED_SIGNATURE = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
const TRAILER_SEED = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";
const CRC32C = "x-amz-checksum-crc32c";

const signer = (seed = SEED_SIGNATURE): ChunkSigner =>
  new ChunkSigner(signingKey(SECRET, SCOPE), TIME, SCOPE, seed);
const writer = (signature = SEED_SIGNATURE): ChunkWriter =>
  new ChunkWriter({ secretKey: SECRET, time: TIME, region: SCOPE.region, signature });

async function* inPieces(body: Buffer, size: number): AsyncGenerator<Buffer, void> {
  for (let at = 0; at < body.length; at += size) yield body.subarray(at, at + size);
}

const decoded = async (
  wire: Buffer,
  body: ChunkedBody,
  pieceSize = 1000,
): Promise<{ readonly data: Buffer; readonly trailers: ReadonlyMap<string, string> }> => {
  const chunks = decodeChunks(inPieces(wire, pieceSize), body);
  const data: Buffer[] = [];
  for (;;) {
    const { done, value } = await chunks.next();
    if (done === true) return { data: Buffer.concat(data), trailers: value };
    data.push(Buffer.from(value));
  }
};

/** The code with which a body is refused. */
const refusal = async (wire: Buffer, body: ChunkedBody, pieceSize?: number): Promise<string> => {
  try {
    await decoded(wire, body, pieceSize);
  } catch (error) {
    if (isS3Error(error)) return error.code;
    throw error;
  }
  return "accepted";
};

const EMPTY = Buffer.alloc(0);
const END = Buffer.from("\r\n");

/** A whole signed body. */
const signedBody = (parts: readonly Uint8Array[]): Buffer => {
  const chunks = writer();
  return Buffer.concat([...parts.map((part) => chunks.chunk(part)), chunks.chunk(EMPTY), END]);
};

const signedOf = (length: number): ChunkedBody => ({ length, signer: signer() });

describe("signed chunks", () => {
  it("have the signatures of the example in S3's documentation", () => {
    const chunks = signer();
    expect(chunks.chunk(sha256Hex("a".repeat(65_536)))).toBe(
      "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    );
    expect(chunks.chunk(sha256Hex("a".repeat(1024)))).toBe(
      "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    );
    expect(chunks.chunk(sha256Hex(""))).toBe(
      "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    );
  });

  it("with a trailing header have those of the other example", () => {
    const chunks = signer(TRAILER_SEED);
    expect(chunks.chunk(sha256Hex("a".repeat(65_536)))).toBe(
      "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    );
    expect(chunks.chunk(sha256Hex("a".repeat(1024)))).toBe(
      "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    );
    expect(chunks.chunk(sha256Hex(""))).toBe(
      "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    );
    expect(chunks.trailer(`${CRC32C}:sOO8/Q==\n`)).toBe(
      "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435",
    );
  });

  it("are taken apart wherever the network cuts them", async () => {
    const property = fc.asyncProperty(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 4 }),
      fc.integer({ min: 1, max: 400 }),
      async (parts, pieceSize) => {
        const data = Buffer.concat(parts);
        const found = await decoded(signedBody(parts), { length: data.length, signer: signer() }, pieceSize);
        expect(found.data).toEqual(data);
      },
    );
    await fc.assert(property, { numRuns: runs(2_000), seed: SEED });
  });

  it("are refused with any byte changed, added or left away", async () => {
    const parts = [Buffer.alloc(200, "x"), Buffer.alloc(100, "y")];
    const whole = signedBody(parts);
    expect(await refusal(whole, signedOf(300))).toBe("accepted");
    for (let at = 0; at < whole.length; at += 1) {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] as number) ^ 1;
      expect(await refusal(changed, signedOf(300)), `byte ${at} changed`).not.toBe("accepted");
      const shorter = Buffer.concat([whole.subarray(0, at), whole.subarray(at + 1)]);
      expect(await refusal(shorter, signedOf(300)), `byte ${at} left away`).not.toBe("accepted");
      const longer = Buffer.concat([whole.subarray(0, at), Buffer.from("g"), whole.subarray(at)]);
      expect(await refusal(longer, signedOf(300)), `byte before ${at} added`).not.toBe("accepted");
      expect(await refusal(whole.subarray(0, at), signedOf(300)), `cut at ${at}`).not.toBe("accepted");
    }
  });

  it("are refused in another order, without the last, and with one left away, though the length is right", async () => {
    const [a, b] = [Buffer.alloc(100, "a"), Buffer.alloc(100, "b")];
    const chunks = writer();
    const [first, second, last] = [chunks.chunk(a), chunks.chunk(b), chunks.chunk(EMPTY)];
    expect(await refusal(Buffer.concat([first, second, last, END]), signedOf(200))).toBe("accepted");
    expect(await refusal(Buffer.concat([second, first, last, END]), signedOf(200))).toBe(
      "SignatureDoesNotMatch",
    );
    expect(await refusal(Buffer.concat([first, last, END]), signedOf(100))).toBe("SignatureDoesNotMatch");
    expect(await refusal(Buffer.concat([first, first, last, END]), signedOf(200))).toBe(
      "SignatureDoesNotMatch",
    );
    expect(await refusal(Buffer.concat([first, second]), signedOf(200))).toBe("IncompleteBody");
    expect(await refusal(Buffer.concat([first, second, last]), signedOf(200))).toBe("IncompleteBody");
    expect(await refusal(Buffer.concat([first, second, last, END, first]), signedOf(200))).toBe(
      "InvalidRequest",
    );
    expect(await refusal(Buffer.concat([first, second, last, END]), signedOf(199))).toBe("InvalidRequest");
    expect(await refusal(Buffer.concat([first, second, last, END]), signedOf(201))).toBe("IncompleteBody");
  });

  it("are refused if they are not signed", async () => {
    const wire = Buffer.from(`5\r\nhello\r\n0\r\n\r\n`);
    expect(await refusal(wire, { length: 5, signer: signer() })).toBe("InvalidRequest");
  });
});

const signed = (trailer: (chunks: ChunkWriter) => Buffer): Buffer => {
  const chunks = writer(TRAILER_SEED);
  return Buffer.concat([chunks.chunk(Buffer.from("hello")), chunks.chunk(EMPTY), trailer(chunks)]);
};
const signedBodyOf = (): ChunkedBody => ({ length: 5, signer: signer(TRAILER_SEED), trailers: [CRC32C] });
const unsigned = (rest: string): Buffer => Buffer.from(`5\r\nhello\r\n0\r\n${rest}`);
const unsignedBody: ChunkedBody = { length: 5, trailers: [CRC32C] };

describe("a trailing header", () => {
  it("is read, signed and not signed", async () => {
    const fromSigned = await decoded(
      signed((chunks) => chunks.trailer(CRC32C, "sOO8/Q==")),
      signedBodyOf(),
    );
    expect(fromSigned.trailers).toEqual(new Map([[CRC32C, "sOO8/Q=="]]));
    const fromUnsigned = await decoded(unsigned(`${CRC32C}:sOO8/Q==\r\n\r\n`), unsignedBody);
    expect(fromUnsigned.trailers).toEqual(new Map([[CRC32C, "sOO8/Q=="]]));
    const asDocumented = await decoded(unsigned(`${CRC32C}: sOO8/Q==\n\r\n\r\n`), unsignedBody);
    expect(asDocumented.trailers).toEqual(new Map([[CRC32C, "sOO8/Q=="]]));
  });

  it("is refused with another value, without a signature, and with another one", async () => {
    const right = signed((chunks) => chunks.trailer(CRC32C, "sOO8/Q==")).toString("latin1");
    const wrong = Buffer.from(right.replace("sOO8", "sOO9"), "latin1");
    expect(await refusal(wrong, signedBodyOf())).toBe("SignatureDoesNotMatch");
    const bare = signed(() => Buffer.from(`${CRC32C}:sOO8/Q==\r\n\r\n`));
    expect(await refusal(bare, signedBodyOf())).toBe("SignatureDoesNotMatch");
    const zeros = signed(() =>
      Buffer.from(`${CRC32C}:sOO8/Q==\r\nx-amz-trailer-signature:${"0".repeat(64)}\r\n\r\n`),
    );
    expect(await refusal(zeros, signedBodyOf())).toBe("SignatureDoesNotMatch");
  });

  it.each([
    ["is missing", "\r\n", "InvalidRequest"],
    ["has another field", "x-amz-checksum-crc32:sOO8/Q==\r\n\r\n", "InvalidRequest"],
    ["has one field more", `${CRC32C}:sOO8/Q==\r\nx-amz-meta-a:b\r\n\r\n`, "InvalidRequest"],
    ["has a field twice", `${CRC32C}:sOO8/Q==\r\n${CRC32C}:sOO8/Q==\r\n\r\n`, "InvalidRequest"],
    [
      "is signed though it should not be",
      `${CRC32C}:sOO8/Q==\r\nx-amz-trailer-signature:${"0".repeat(64)}\r\n\r\n`,
      "InvalidRequest",
    ],
    ["does not end", `${CRC32C}:sOO8/Q==\r\n`, "IncompleteBody"],
    ["has a line without an end", `${CRC32C}:${"A".repeat(5000)}`, "InvalidRequest"],
    ["is followed by more", `${CRC32C}:sOO8/Q==\r\n\r\nx`, "InvalidRequest"],
  ])("is refused if it %s", async (_, rest, code) => {
    expect(await refusal(unsigned(rest), unsignedBody)).toBe(code);
  });
});

describe("a chunk's head", () => {
  it.each([
    "",
    "g\r\n",
    "-1\r\n",
    "5 \r\n",
    "5;x=y\r\n",
    "1000000000000\r\n",
    "5\nhello",
    `${"0".repeat(1000)}5\r\n`,
  ])("is refused if it is %j", async (head) => {
    const code = await refusal(Buffer.from(`${head}hello\r\n0\r\n\r\n`), { length: 5, trailers: [] });
    expect(["InvalidRequest", "IncompleteBody"]).toContain(code);
  });
});
