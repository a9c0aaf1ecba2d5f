import { existsSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { HOSTILE_BUNDLES } from "@ol/bundle/testing";
import { isOlError } from "@ol/common";
import { expect, test } from "vitest";

import type { RegistryCodeSource } from "../../src/index.ts";
import { soon, TestCluster, TestRegistry } from "../support/registry.ts";

/** There are more than a hundred, and each is sent, fetched and looked through. */
const LONG = { timeout: 180_000 };

const AT_ONCE = 8;

/** Those that can be unpacked come last. */
const ORDERED = HOSTILE_BUNDLES.toSorted(
  (one, other) => Number(one.unpacks ?? 0) - Number(other.unpacks ?? 0),
);

const outcomeOf = async (source: RegistryCodeSource, name: string): Promise<string> => {
  try {
    source.release(await source.resolve(name, soon()));
    return "taken";
  } catch (error) {
    return isOlError(error) ? error.code : `no OlError: ${String(error)}`;
  }
};

/** Every file and directory below a cluster's that holds code, or the beginning of some. */
const codeIn = async (cluster: TestCluster): Promise<readonly string[]> => {
  const names = await readdir(cluster.directory, { recursive: true });
  return names.filter((name) => /(?:^|\/)(?:f\.py|evil|odd|a|b)$/u.test(name));
};

/** Puts every bundle there by a bare S3 request, and asks the source for each. */
const outcomes = async (): Promise<{
  readonly refused: readonly string[][];
  readonly code: readonly string[];
}> => {
  const registry = await TestRegistry.start();
  const cluster = await TestCluster.make();
  const source = await cluster.source(registry.client());
  const refused: string[][] = [];
  let code: readonly string[] = [];
  for (let at = 0; at < ORDERED.length; at += AT_ONCE) {
    const some = ORDERED.slice(at, at + AT_ONCE);
    for (const [index, bundle] of some.entries()) {
      const file = join(registry.directory, `${at + index}.tar.gz`);
      await writeFile(file, bundle.packed);
      await registry.byHand(`handlers/bad-${at + index}.tar.gz`, file);
    }
    const found = some.map(async ({ name }, index) => [name, await outcomeOf(source, `bad-${at + index}`)]);
    refused.push(...(await Promise.all(found)));
    // What can be unpacked, and only is no lambda, may be kept as a whole.
    if (some.every(({ unpacks }) => unpacks !== true)) code = [...code, ...(await codeIn(cluster))];
  }
  await source[Symbol.asyncDispose]();
  return { refused, code };
};

const expected = ORDERED.map(({ name, code }) => [name, code]);

test(
  "bundles that no worker may run are refused when they were put into the registry by hand",
  LONG,
  async () => {
    const { refused, code } = await outcomes();
    expect(refused).toEqual(expected);
    expect(code).toEqual([]);
    for (const path of ["/tmp/evil", "/evil"]) expect(existsSync(path)).toBe(false);
  },
);

test("bundles that are only nearly hostile are taken", LONG, async () => {
  const registry = await TestRegistry.start();
  const cluster = await TestCluster.make();
  const source = await cluster.source(registry.client());
  // All of them are unpacked by the tests of @ol/bundle; here some, in the way that those above are refused.
  const small = HOSTILE_BUNDLES.filter(({ harmless }, at) => at % 6 === 0 && harmless.length < 20_000);
  expect(small.length).toBeGreaterThan(15);
  for (const [at, { name, harmless }] of small.entries()) {
    await registry.uploadBytes(`good-${at}`, harmless);
    expect([name, await outcomeOf(source, `good-${at}`)]).toEqual([name, "taken"]);
  }
});
