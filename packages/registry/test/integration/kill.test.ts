import { setTimeout } from "node:timers/promises";

import { describe, expect, it } from "vitest";

import type { ObjectStore } from "../../src/index.ts";
import { sha256Of } from "../support/bodies.ts";
import { TestDirectory } from "../support/directory.ts";
import { SEED, SLOWNESS, scaled } from "../support/scale.ts";
import { type Change, StoreProcess } from "../support/store-process.ts";
import { Complaints, contentOf, filesOf, openStore } from "../support/stores.ts";

const ROUNDS = scaled(5, 50);
const WRITERS = 3;
const LONGEST_MS = 800 * SLOWNESS;

/** mulberry32: the same moments for the same seed, as far as the machine is the same. */
const randoms = (seed: number): (() => number) => {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
};

/** What may be found of a key: what was last acknowledged, or what had begun after it. Null: nothing. */
const possible = (changes: readonly Change[], before: string | null): Set<string | null> => {
  const last = changes.findLastIndex(({ done }) => done);
  const state = last === -1 ? before : (changes[last]?.digest ?? null);
  return new Set([state, ...changes.slice(last + 1).map(({ digest }) => digest)]);
};

/** A key that several write at once: what any of them has begun, and not nothing once one has been acknowledged. */
const possibleShared = (changes: readonly Change[], before: string | null): Set<string | null> => {
  const begun = new Set<string | null>(changes.map(({ digest }) => digest));
  return changes.some(({ done }) => done) ? begun : begun.add(before);
};

const byKey = (changes: readonly Change[]): Map<string, Change[]> => {
  const keys = new Map<string, Change[]>();
  for (const change of changes) keys.set(change.key, [...(keys.get(change.key) ?? []), change]);
  return keys;
};

const found = async (store: ObjectStore, key: string): Promise<string | null> => {
  const { objects } = store.list("code", { prefix: key, delimiter: "", after: "", limit: 1 });
  if (objects[0]?.key !== key) return null;
  const digest = sha256Of(await contentOf(store, key));
  expect(digest).toBe(objects[0].digest);
  return digest;
};

describe("A store that is killed under three writers", () => {
  it(
    `has after each of ${ROUNDS} times what it acknowledged, whole, and nothing half-written`,
    async () => {
      console.info(`OL_TEST_SEED=${SEED}`);
      const random = randoms(SEED);
      using directory = new TestDirectory();
      const state = new Map<string, string | null>();
      let acknowledged = 0;
      let unfinished = 0;
      for (let round = 0; round < ROUNDS; round += 1) {
        await using process = await StoreProcess.start({ directory: directory.data });
        await process.ask("load", { writers: WRITERS });
        await setTimeout(random() * LONGEST_MS);
        await process.kill();
        expect(process.failures, `OL_TEST_SEED=${SEED}, round ${round}`).toEqual([]);
        unfinished += filesOf(directory.data, "tmp").length;

        const complaints = new Complaints();
        await using store = await openStore(directory.data, {}, complaints);
        for (const [key, changes] of byKey(process.changes)) {
          const may = key === "shared" ? possibleShared : possible;
          const is = await found(store, key);
          expect(
            [...may(changes, state.get(key) ?? null)],
            `OL_TEST_SEED=${SEED}, round ${round}, ${key}`,
          ).toContain(is);
          state.set(key, is);
          acknowledged += changes.filter(({ done }) => done).length;
        }
        const there = [...state.values()].filter((digest) => digest !== null);
        expect(store.stats(), `OL_TEST_SEED=${SEED}, round ${round}`).toMatchObject({
          objects: there.length,
          blobs: new Set(there).size,
          quarantined: 0,
        });
        expect(filesOf(directory.data, "tmp"), `OL_TEST_SEED=${SEED}, round ${round}`).toEqual([]);
        expect(filesOf(directory.data, "blobs"), `OL_TEST_SEED=${SEED}, round ${round}`).toHaveLength(
          new Set(there).size,
        );
        expect(complaints.said, `OL_TEST_SEED=${SEED}, round ${round}`).toEqual([]);
      }
      console.info(`${acknowledged} acknowledged changes, ${unfinished} unfinished files`);
      expect(acknowledged).toBeGreaterThan(ROUNDS);
    },
    scaled(120_000, 1_200_000) * SLOWNESS,
  );
});
