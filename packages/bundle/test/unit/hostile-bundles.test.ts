import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { beforeEach, describe, expect, test } from "vitest";

import { checkCode, unpackBundle } from "../../src/index.ts";
import { HOSTILE_BUNDLES } from "../../src/testing/index.ts";
import { temporaryDirectory } from "../support/temporary.ts";

/** For those that hold thousands of files, on a busy machine. */
const LONG = { timeout: 60_000 };

const CASES = HOSTILE_BUNDLES.map((bundle) => [bundle.name, bundle] as const);

let base: string;
let target: string;

beforeEach(() => {
  base = temporaryDirectory();
  target = join(base, "inside", "code");
  mkdirSync(join(base, "inside"));
});

/** As a stream would come. */
async function* inPieces(data: Buffer, bytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < data.length; at += bytes) yield data.subarray(at, at + bytes);
}

const outcomeOf = async (packed: Buffer, pieceBytes: number): Promise<string> => {
  try {
    await unpackBundle(inPieces(packed, pieceBytes), target);
    await checkCode(target);
    return "taken";
  } catch (error) {
    return (error as { code?: string }).code ?? `no OlError: ${String(error)}`;
  }
};

/** Everything in the temporary directory that is not the target. */
const left = (): string[] => [
  ...readdirSync(base),
  ...readdirSync(join(base, "inside")).map((name) => `inside/${name}`),
];

describe("a hostile bundle", () => {
  test("is one of at least sixty, each of another name", () => {
    expect(new Set(HOSTILE_BUNDLES.map(({ name }) => name)).size).toBe(HOSTILE_BUNDLES.length);
    expect(HOSTILE_BUNDLES.length).toBeGreaterThanOrEqual(60);
  });

  test.each(CASES)("with %s is refused, and nothing of it stays", LONG, async (_name, bundle) => {
    const outcome = await outcomeOf(bundle.packed, 65_536);
    expect(outcome).toBe(bundle.code);
    expect(left()).toEqual(bundle.unpacks === true ? ["inside", "inside/code"] : ["inside"]);
  });

  test.each(CASES)("without %s is taken", LONG, async (_name, bundle) => {
    expect(await outcomeOf(bundle.harmless, 65_536)).toBe("taken");
    expect(left()).toEqual(["inside", "inside/code"]);
  });

  test("is refused for the same reason when it comes byte by byte", LONG, async () => {
    const small = HOSTILE_BUNDLES.filter(({ packed, unpacks }) => packed.length < 2000 && unpacks !== true);
    expect(small.length).toBeGreaterThan(50);
    const outcomes = [];
    for (const { name, packed } of small) outcomes.push([name, await outcomeOf(packed, 1)]);
    expect(outcomes).toEqual(small.map(({ name, code }) => [name, code]));
  });
});
