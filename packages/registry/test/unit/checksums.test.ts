import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { checksumsOf, runningChecksum } from "../../src/store/checksums.ts";

const hex = (base64: string): string => Buffer.from(base64, "base64").toString("hex");

/** Bit by bit, as the definition of a reflected CRC says it. */
const slowCrc = (polynomial: bigint, bits: bigint, data: Uint8Array): string => {
  const ones = (1n << bits) - 1n;
  let crc = ones;
  for (const byte of data) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1n) === 0n ? crc >> 1n : (crc >> 1n) ^ polynomial;
  }
  return (crc ^ ones).toString(16).padStart(Number(bits) / 4, "0");
};

describe("A checksum", () => {
  // "123456789" is the check value of each in the catalogue of CRC algorithms; the digests are those of FIPS 180 and RFC 1321.
  test.each([
    ["crc32", "123456789", "cbf43926"],
    ["crc32c", "123456789", "e3069283"],
    ["crc64nvme", "123456789", "ae8b14860a799888"],
    ["crc32c", "", "00000000"],
    ["crc64nvme", "", "0000000000000000"],
    ["md5", "abc", "900150983cd24fb0d6963f7d28e17f72"],
    ["sha1", "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"],
    ["sha256", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
  ] as const)("of kind %s of %j is the published one", (kind, text, expected) => {
    expect(hex(checksumsOf([kind], [Buffer.from(text)]).get(kind) ?? "")).toBe(expected);
  });

  // RFC 3720, appendix B.4.
  test.each([
    ["32 zero bytes", Buffer.alloc(32), "8a9136aa"],
    ["32 bytes of ones", Buffer.alloc(32, 0xff), "62a8ab43"],
    ["the bytes from 0 to 31", Buffer.from(Array.from({ length: 32 }, (_, at) => at)), "46dd794e"],
  ])("of kind crc32c of %s is that of RFC 3720", (_, data, expected) => {
    expect(hex(checksumsOf(["crc32c"], [data]).get("crc32c") ?? "")).toBe(expected);
  });

  test.each([
    ["crc32c", 0x82f63b78n, 32n],
    ["crc64nvme", 0x9a6c9329ac4bc9b5n, 64n],
  ] as const)("of kind %s is the same bit by bit, and in pieces of any size", (kind, polynomial, bits) => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 }), (pieces) => {
        const running = runningChecksum(kind);
        for (const piece of pieces) running.update(piece);
        expect(hex(running.digest())).toBe(slowCrc(polynomial, bits, Buffer.concat(pieces)));
      }),
    );
  });
});
