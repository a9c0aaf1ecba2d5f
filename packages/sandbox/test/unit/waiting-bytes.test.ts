import { describe, expect, it } from "vitest";

import { WaitingBytes, compact } from "../../src/frames/waiting-bytes.ts";
import { seededRandom } from "./frames-kit.ts";

/** A piece as it comes: a slice of all that was read at once. */
const slice = (bytes: number, value: number): Buffer => Buffer.alloc(65_536, value).subarray(0, bytes);

const takeAll = (waiting: WaitingBytes): Buffer[] => {
  const parts: Buffer[] = [];
  for (let part = waiting.take(); part !== undefined; part = waiting.take()) parts.push(part);
  return parts;
};

/** The memory that they keep from being freed. */
const keptBytes = (parts: readonly Buffer[]): number => {
  let sum = 0;
  for (const { byteLength } of new Set(parts.map(({ buffer }) => buffer))) sum += byteLength;
  return sum;
};

describe("bytes that wait for their reader", () => {
  it.each([
    ["of one byte each", () => 1],
    ["that alternate between tiny and half a block", (at: number) => (at % 2 === 0 ? 1 : 8_192)],
    ["of a read each", () => 65_536],
  ])("take little more memory than they have in pieces %s", (_what, sizeOf) => {
    const waiting = new WaitingBytes();
    let bytes = 0;
    for (let at = 0; bytes < 20_000; at += 1) {
      waiting.add(slice(sizeOf(at), 1));
      bytes += sizeOf(at);
    }
    expect(waiting.length).toBe(bytes);
    expect(keptBytes(takeAll(waiting))).toBeLessThan(3.1 * bytes + 16_384);
  });

  it("come out as they went in, in whatever turns", () => {
    const random = seededRandom(7);
    const waiting = new WaitingBytes();
    const put: Buffer[] = [];
    const got: Buffer[] = [];
    for (let at = 0; at < 2_000; at += 1) {
      const piece = slice(Math.floor(random() ** 4 * 30_000), at % 251);
      put.push(piece);
      waiting.add(piece);
      for (let turns = Math.floor(random() * 2.2); turns > 0; turns -= 1)
        got.push(waiting.take() ?? Buffer.alloc(0));
    }
    got.push(...takeAll(waiting));
    expect(Buffer.concat(got).equals(Buffer.concat(put))).toBe(true);
    expect(waiting.length).toBe(0);
  });

  it("are copied where they would keep much else", () => {
    const [large, small] = [slice(40_000, 1), slice(4, 1)];
    expect(compact(large)).toBe(large);
    expect([compact(small).buffer.byteLength, compact(small).equals(small)]).toEqual([4, true]);
  });
});
