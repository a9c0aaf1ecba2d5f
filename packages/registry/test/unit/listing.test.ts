import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import type { ListRequest } from "../../src/index.ts";
import { type Listed, listKeys } from "../../src/store/listing.ts";
import { SortedKeys } from "../../src/store/sorted-keys.ts";
import { compareUtf8 } from "../../src/store/utf8-order.ts";
import { beginnings, keys } from "../support/arbitraries.ts";
import { naiveListing } from "../support/naive-listing.ts";

/** All pages, one after another. */
const pages = (sorted: SortedKeys<string>, request: ListRequest): string[] => {
  const all: string[] = [];
  for (let after: string | undefined = request.after; after !== undefined;) {
    const page: Listed<string> = listKeys(sorted, { ...request, after });
    all.push(...[...page.values, ...page.commonPrefixes].sort(compareUtf8));
    after = page.next;
  }
  return all;
};

const entries = (list: readonly string[]): SortedKeys<string> =>
  SortedKeys.from(list.map((key) => [key, key] as const));

describe("Keys", () => {
  test("are in the order of their UTF-8 bytes, also above U+FFFF", () => {
    fc.assert(
      fc.property(fc.oneof(keys, fc.string({ unit: "binary" })), keys, (a, b) => {
        expect(Math.sign(compareUtf8(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
      }),
      { numRuns: 2_000 },
    );
    expect(compareUtf8("\u{10000}", "\uffff")).toBeGreaterThan(0);
  });

  test("are found after any additions and removals as if they had been sorted anew", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(keys, fc.boolean()), { maxLength: 40 }), (steps) => {
        const sorted = new SortedKeys<string>();
        const model = new Map<string, string>();
        for (const [key, added] of steps) {
          expect(added ? sorted.set(key, key) : sorted.delete(key)).toBe(model.get(key));
          if (added) model.set(key, key);
          else model.delete(key);
        }
        expect(sorted.size).toBe(model.size);
        const all = { prefix: "", delimiter: "", after: "", limit: 1000 };
        expect(listKeys(sorted, all).values).toEqual(naiveListing(model.keys(), all).keys);
      }),
    );
  });
});

describe("A listing", () => {
  const request = fc.record({
    prefix: beginnings,
    delimiter: fc.constantFrom("", "/", "a", "..", "\u{10000}"),
    after: beginnings,
    limit: fc.integer({ min: 0, max: 6 }),
  });

  test("shows what its definition says, for any prefix, delimiter, marker and limit", () => {
    fc.assert(
      fc.property(fc.array(keys, { maxLength: 30 }), request, (list, asked) => {
        const { values, commonPrefixes, next } = listKeys(entries(list), asked);
        const found = { keys: values, commonPrefixes, ...(next === undefined ? {} : { next }) };
        expect(found).toEqual(naiveListing(new Set(list), asked));
      }),
      { numRuns: 2_000 },
    );
  });

  test("of 10,000 objects gives each once, page after page, in any size of pages", () => {
    const list = Array.from(
      { length: 10_000 },
      (_, at) => `handlers/f${at % 700}/blobs/${at.toString(36)}.tar.gz`,
    );
    const sorted = entries(list);
    for (const limit of [1, 7, 1000]) {
      for (const [prefix, delimiter] of [
        ["", ""],
        ["handlers/", "/"],
        ["handlers/f69", "/"],
        ["handlers/f1/", ""],
      ] as const) {
        const whole = naiveListing(list, { prefix, delimiter, after: "", limit: 20_000 });
        const expected = [...whole.keys, ...whole.commonPrefixes].sort(compareUtf8);
        expect(pages(sorted, { prefix, delimiter, after: "", limit })).toEqual(expected);
      }
    }
  });

  test("skips what is below a common prefix instead of reading it", () => {
    const list = Array.from({ length: 100_000 }, (_, at) => `${at % 2 === 0 ? "a" : "b"}/${at}`);
    const sorted = entries(list);
    const began = performance.now();
    for (let time = 0; time < 1_000; time += 1) {
      const { commonPrefixes } = listKeys(sorted, { prefix: "", delimiter: "/", after: "", limit: 1000 });
      expect(commonPrefixes).toEqual(["a/", "b/"]);
    }
    // One that read all keys would take some 5 ms each time.
    expect(performance.now() - began).toBeLessThan(2_000);
  });
});
