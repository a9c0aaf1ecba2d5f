import { silentLogger } from "@ol/common";
import type { Lock } from "@ol/bundle";
import { describe, expect, it, vi } from "vitest";

import { nearLocks, RegistryLockStore } from "../../src/index.ts";
import { TestCluster, TestRegistry } from "../support/registry.ts";

const HASH = "a".repeat(64);
const KEY = { lambda: "one", digest: "b".repeat(64), python: "3.11", machine: "x86_64" };
const WRITER = { accessKey: "admin-key", secretKey: "admin-secret-1" };

const lock = (version: string, requirements = HASH): Lock => ({
  python: "3.11",
  machine: "x86_64",
  requirements,
  pins: [{ name: "numpy", version, hashes: [HASH], requires: [] }],
});

const setup = async () => {
  const registry = await TestRegistry.start();
  const storeOf = async (keys?: { accessKey: string; secretKey: string }, logger = silentLogger) => {
    const { shelfDir } = await TestCluster.make();
    return { shelfDir, store: new RegistryLockStore({ client: registry.client(keys), shelfDir, logger }) };
  };
  return { registry, storeOf };
};

describe("locks in a registry", () => {
  it("are what was written first, in all clusters", async () => {
    const { storeOf } = await setup();
    const [one, two] = [await storeOf(WRITER), await storeOf(WRITER)];
    expect(await one.store.read(KEY)).toBeUndefined();
    expect(await one.store.write(KEY, lock("1.0"))).toEqual(lock("1.0"));
    expect(await two.store.write(KEY, lock("2.0"))).toEqual(lock("1.0"));
    expect(await (await storeOf()).store.read(KEY)).toEqual(lock("1.0"));
  });

  it("stay in the cluster where its keys may only read, which is no reason to warn", async () => {
    const { storeOf } = await setup();
    const warn = vi.fn<() => void>();
    const { store } = await storeOf(undefined, { ...silentLogger, warn });
    expect(await store.write(KEY, lock("1.0"))).toEqual(lock("1.0"));
    expect(await store.read(KEY)).toEqual(lock("1.0"));
    expect(await store.write(KEY, lock("2.0"))).toEqual(lock("1.0"));
    expect(warn).not.toHaveBeenCalled();
    expect(await (await storeOf()).store.read(KEY)).toBeUndefined();
  });

  it("are found while the registry is down, and written for this cluster", async () => {
    const { registry, storeOf } = await setup();
    const { store, shelfDir } = await storeOf(WRITER);
    await store.write(KEY, lock("1.0"));
    await registry.kill();
    expect(await store.read(KEY)).toEqual(lock("1.0"));
    const other = { ...KEY, digest: "c".repeat(64) };
    expect(await store.read(other)).toBeUndefined();
    expect(await store.write(other, lock("2.0"))).toEqual(lock("2.0"));
    // Of a lambda that is not known to be in the registry nothing is kept for ever.
    expect(await nearLocks(shelfDir).all(true, () => undefined)).toEqual([]);
  });
});
