import { afterAll, beforeAll, describe } from "vitest";

import type { RegistryClient } from "../../src/index.ts";
import { clientOf, soon } from "./bundles.ts";
import { STORES, type TestStore } from "./stores.ts";

/** A store that runs while a block of tests does. */
export interface StoreInUse {
  /** The store itself. Only within tests. */
  readonly store: () => TestStore;
  /** A client of a bucket that nobody else uses, and that is there. */
  readonly ready: () => Promise<RegistryClient>;
}

/** Declares the same tests for each store that can be had here. */
export const withEveryStore = (tests: (used: StoreInUse) => void): void => {
  for (const kind of STORES)
    describe(`a registry client with ${kind.name}`, () => {
      let store: TestStore;
      beforeAll(async () => {
        store = await kind.start();
      });
      afterAll(() => store.close());

      tests({
        store: () => store,
        ready: async () => {
          const client = clientOf(store);
          await client.probe(soon());
          return client;
        },
      });
    });
};
