import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { isS3Error } from "../../src/index.ts";
import { NEVER, md5Of, putOf, sha256Of } from "../support/bodies.ts";
import { TestDirectory } from "../support/directory.ts";
import { SEED, SLOWNESS, scaled } from "../support/scale.ts";
import { contentOf, filesOf, openStore } from "../support/stores.ts";

import { steps } from "./steps.ts";
import { World } from "./world.ts";

/** Where a sync costs nothing: what is on the disk is another test's matter. */
const IN_MEMORY = "/dev/shm";
const RUNS = scaled(60, 3_000);
const TIMEOUT_MS = scaled(60_000, 3_600_000) * SLOWNESS;

/** How the property fails, if it does. */
const failureOf = async (property: fc.IAsyncProperty<unknown>): Promise<string> => {
  console.info(`OL_TEST_SEED=${SEED}`);
  const result = await fc.check(property, { seed: SEED, numRuns: RUNS, includeErrorInReport: true });
  return result.failed ? `OL_TEST_SEED=${SEED}\n${fc.defaultReportMessage(result)}` : "";
};

describe("A store", () => {
  it(
    "holds what a map would hold, after any steps, in memory and on the disk",
    async () => {
      const property = fc.asyncProperty(steps, async (list) => {
        using directory = new TestDirectory(IN_MEMORY);
        const world = await World.open(directory.data);
        try {
          for (const step of list) await world.take(step);
          await world.check();
          await world.take({ do: "reopen" });
          await world.check();
        } finally {
          await world.end();
        }
      });
      expect(await failureOf(property)).toBe("");
    },
    TIMEOUT_MS,
  );

  it(
    "keeps whole objects and no other files when the same contents and keys are written and removed at once",
    async () => {
      const action = fc.record({
        do: fc.constantFrom("put", "put", "delete", "copy"),
        key: fc.constantFrom("a", "b", "c"),
        content: fc.constantFrom("one", "two"),
      });
      const property = fc.asyncProperty(
        fc.array(action, { minLength: 5, maxLength: 40 }),
        async (actions) => {
          using directory = new TestDirectory(IN_MEMORY);
          await using store = await openStore(directory.data);
          await Promise.all(
            actions.map(async ({ do: what, key, content }) => {
              const place = { bucket: "code", key };
              try {
                if (what === "put") await store.put("code", key, putOf(content), NEVER);
                else if (what === "delete") await store.delete("code", key);
                else await store.copy(place, { bucket: "code", key: "copy" }, { conditions: {} }, NEVER);
              } catch (error) {
                if (!isS3Error(error, "NoSuchKey")) throw error;
              }
            }),
          );
          const digests = new Set<string>();
          const { objects } = store.list("code", { prefix: "", delimiter: "", after: "", limit: 10 });
          for (const { key, etag, digest } of objects) {
            const content = await contentOf(store, key);
            expect([md5Of(content), sha256Of(content)]).toEqual([etag, digest]);
            digests.add(digest);
          }
          const blobs = filesOf(directory.data, "blobs").map((file) => file.slice(-64));
          expect(blobs.sort()).toEqual([...digests].sort());
          expect(filesOf(directory.data, "records")).toHaveLength(objects.length);
          expect(filesOf(directory.data, "tmp")).toEqual([]);
        },
      );
      expect(await failureOf(property)).toBe("");
    },
    TIMEOUT_MS,
  );
});
