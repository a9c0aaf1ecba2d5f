import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { type ObjectRecord, decodeRecord, encodeRecord } from "../../src/store/record.ts";
import { keys } from "../support/arbitraries.ts";

const record = (key: string): ObjectRecord => ({
  kind: "object",
  bucket: "code",
  md5: "0".repeat(32),
  info: {
    key,
    size: 3,
    etag: "0".repeat(32),
    digest: "1".repeat(64),
    modifiedMs: 1_700_000_000_000,
    headers: { "content-type": "application/gzip" },
  },
});

describe("A record", () => {
  test("is read as it was written, whatever the key", () => {
    fc.assert(
      fc.property(fc.oneof(keys, fc.string({ unit: "binary", minLength: 1 })), (key) => {
        expect(decodeRecord(encodeRecord(record(key)), "object")).toEqual(record(key));
      }),
    );
  });

  test("in which any byte has changed, or which ends early, is refused", () => {
    const whole = encodeRecord(record("handlers/echo.tar.gz"));
    for (let at = 0; at < whole.length; at += 1) {
      expect(() => decodeRecord(whole.subarray(0, at), "object")).toThrow(/damaged|not a record/);
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] as number) ^ 1;
      expect(() => decodeRecord(changed, "object")).toThrow(/damaged|not a record/);
    }
    expect(() => decodeRecord(Buffer.concat([whole, whole]), "object")).toThrow(/damaged/);
  });

  test("of another kind is refused", () => {
    expect(() => decodeRecord(encodeRecord(record("a")), "bucket")).toThrow(/kind object, not bucket/);
  });
});
