import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";

import * as fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";

import { unpackBundle } from "../../src/index.ts";
import { bundle, checksum, entry, F, pax } from "../../src/testing/index.ts";
import { codeOf, from, Place, treeOf } from "../support/place.ts";

const LONG = { timeout: 60_000 };

let place: Place;

beforeEach(() => {
  place = new Place();
});

/** How unpacking ended, and what was left of it. */
const outcomeOf = async (data: Buffer): Promise<Record<string, unknown>> => {
  const to = join(place.base, "unpacked", "any");
  const outcome = await codeOf(unpackBundle(from(data), to));
  const left = [...readdirSync(place.base), ...readdirSync(join(place.base, "unpacked"))].sort();
  const tree = existsSync(to) ? treeOf(to) : undefined;
  execFileSync("rm", ["-rf", to]);
  return { outcome, left, tree };
};

const REFUSALS = ["OL_BUNDLE_BAD_ARCHIVE", "OL_BUNDLE_UNSAFE_FILE", "OL_BUNDLE_TOO_LARGE"];
const TAKEN = { outcome: "no error", left: ["any", "code", "packed", "unpacked"] };
const NOTHING = {
  outcome: expect.toBeOneOf(REFUSALS) as string,
  left: ["code", "packed", "unpacked"],
  tree: undefined,
};

describe("any damage", () => {
  const whole = bundle(
    F,
    entry({ name: "lib/", type: "5" }),
    pax({ path: "lib/ä.py" }),
    entry({ name: "x", content: "y".repeat(900) }),
    entry({ name: "b", content: "z" }),
  );

  test("to a bundle's bytes is found, and leaves nothing", LONG, async () => {
    const flips = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 4,
    });
    const { tree } = await outcomeOf(whole);
    await fc.assert(
      fc.asyncProperty(flips, async (changes) => {
        const copy = Buffer.from(whole);
        for (const [at, bits] of changes) copy[at] = (copy[at] as number) ^ bits;
        // In gzip's header are a time and a system's number, which mean nothing.
        expect(await outcomeOf(copy)).toEqual(expect.toBeOneOf([{ ...TAKEN, tree }, NOTHING]));
      }),
      { numRuns: 300 },
    );
  });

  test("to the archive within it is found, or harmless, and leaves nothing", LONG, async () => {
    const inner = gunzipSync(whole);
    const flips = fc.array(fc.tuple(fc.nat(inner.length - 1), fc.integer({ min: 0, max: 255 })), {
      minLength: 1,
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(flips, fc.nat(600), fc.boolean(), async (changes, cut, sound) => {
        const copy = Buffer.from(inner);
        for (const [at, byte] of changes) copy[at] = byte;
        // With checksums that are right, so that what is behind them is looked at.
        if (sound) for (let at = 0; at + 512 <= copy.length; at += 512) mend(copy.subarray(at, at + 512));
        const packedAgain = gzipSync(copy.subarray(0, copy.length - (cut > 300 ? cut : 0)));
        expect(await outcomeOf(packedAgain)).toEqual(
          expect.toBeOneOf([expect.objectContaining(TAKEN), NOTHING]),
        );
      }),
      { numRuns: 400 },
    );
  });

  test("by a cut anywhere is found, and leaves nothing", LONG, async () => {
    for (let length = 0; length < whole.length; length += 1) {
      const outcome = await codeOf(unpackBundle(from(whole.subarray(0, length)), place.target));
      expect([length, outcome]).toEqual([length, "OL_BUNDLE_BAD_ARCHIVE"]);
    }
    expect(readdirSync(join(place.base, "unpacked"))).toEqual([]);
  });
});

/** Makes a header's checksum right; what is no header stays as it is. */
const mend = (block: Buffer): void => {
  if (block.toString("latin1", 257, 262) === "ustar") checksum(block);
};
