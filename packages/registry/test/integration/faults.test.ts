import * as path from "node:path";

import { describe, expect, it } from "vitest";

import { sha256Of } from "../support/bodies.ts";
import { TestDirectory } from "../support/directory.ts";
import { SEED, SLOWNESS, scaled } from "../support/scale.ts";
import { RemoteError, StoreProcess } from "../support/store-process.ts";
import { contentOf, filesOf, openStore } from "../support/stores.ts";

/** Everyday runs try one call of so many. */
const STRIDE = scaled(4, 1);
/** More than any of them is made in a run. */
const MOST_CALLS = 200;
/** So many removals there are; the failure of one is not always told. */
const UNLINKS = 4;
const TIMEOUT_MS = scaled(120_000, 1_200_000) * SLOWNESS;

/** Of all kinds: new, again, the same content twice, large, empty; removed with and without another that has the content. */
const CHANGES = [
  { verb: "put", key: "a", seed: "1", size: 1000 },
  { verb: "put", key: "b", seed: "1", size: 1000 },
  { verb: "put", key: "a", seed: "2", size: 1000 },
  { verb: "put", key: "c", seed: "3", size: 9_000_000 },
  { verb: "delete", key: "b" },
  { verb: "put", key: "d", seed: "4", size: 0 },
  { verb: "delete", key: "c" },
] as const;

/** What may be found of each key; null for nothing. */
type Possible = Map<string, Set<string | null>>;

/** Has a store make the changes while the kernel fails one call; returns what failed. */
const change = async (directory: TestDirectory, fault: string, possible: Possible): Promise<string[]> => {
  const under = [
    "strace",
    "-f",
    "-o",
    path.join(directory.path, "trace"),
    "-e",
    `trace=${fault.split(":")[0]}`,
  ];
  under.push("-e", `inject=${fault}`, "env", "UV_THREADPOOL_SIZE=1");
  const failures: string[] = [];
  let store: StoreProcess;
  try {
    store = await StoreProcess.start({ directory: directory.data, under });
  } catch (error) {
    return [(error as RemoteError).code];
  }
  await using _ = store;
  for (const { verb, ...request } of CHANGES) {
    const { key } = request;
    const before = possible.get(key) ?? new Set([null]);
    const after = verb === "put" ? ((await store.ask("expected", request)) as string) : null;
    try {
      await store.ask(verb, request);
      possible.set(key, new Set([after]));
    } catch (error) {
      failures.push((error as RemoteError).code);
      // For those who ask now it has not happened; at the next start it may have.
      possible.set(key, new Set([...before, after]));
      const keys = (await store.ask("keys")) as string[];
      expect(before, `${fault}, ${key}`).toContain(
        keys.includes(key) ? await store.ask("digest", { key }) : null,
      );
    }
  }
  return failures;
};

/** The next start finds only what may be there, whole, and nothing else. */
const check = async (directory: TestDirectory, fault: string, possible: Possible): Promise<void> => {
  await using store = await openStore(directory.data);
  const { objects } = store.list("code", { prefix: "", delimiter: "", after: "", limit: 100 });
  const digests = new Map(objects.map(({ key, digest }) => [key, digest]));
  for (const [key, digest] of digests)
    expect(sha256Of(await contentOf(store, key)), `${fault}: what is left`).toBe(digest);
  for (const [key, may] of possible) expect(may, `${fault}, ${key}`).toContain(digests.get(key) ?? null);
  expect(store.stats().quarantined, `${fault}: what is left`).toBe(0);
  expect(filesOf(directory.data, "tmp"), `${fault}: what is left`).toEqual([]);
  expect(filesOf(directory.data, "blobs"), `${fault}: what is left`).toHaveLength(
    new Set(digests.values()).size,
  );
};

describe("A call that fails", () => {
  it.each([
    ["pwrite64", "ENOSPC", STRIDE],
    ["fdatasync", "EIO", STRIDE],
    ["fsync", "EIO", STRIDE],
    ["/^rename", "EIO", STRIDE],
    // A removal's record and its content, twice; only that of a record fails anything.
    ["/^unlink", "EIO", 1],
  ])(
    "%s with %s, whichever it is, costs its own request and leaves only whole things",
    async (call, errno, stride) => {
      console.info(`OL_TEST_SEED=${SEED}`);
      const codes = new Set<string>();
      for (let at = 1 + (SEED % stride); at < MOST_CALLS; at += stride) {
        using directory = new TestDirectory();
        const fault = `${call}:error=${errno}:when=${at}`;
        const possible: Possible = new Map();
        const failures = await change(directory, fault, possible);
        await check(directory, fault, possible);
        for (const code of failures) codes.add(code);
        // Beyond the last one nothing fails.
        if (failures.length === 0 && at > UNLINKS) break;
      }
      const known = [
        "InternalError",
        "InsufficientStorage",
        "ServiceUnavailable",
        "OL_REGISTRY_BAD_DIRECTORY",
      ];
      expect(known).toEqual(expect.arrayContaining([...codes]));
      expect(codes.size).toBeGreaterThan(0);
    },
    TIMEOUT_MS,
  );
});
