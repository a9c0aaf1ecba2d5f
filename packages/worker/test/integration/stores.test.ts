import { existsSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { soon, TestCluster, TestRegistry, VERSITYGW } from "../support/registry.ts";

const says = (word: string) => ({ "f.py": `def f(event): return ${JSON.stringify(word)}\n` });

/** Our own registry, and a server that others wrote where it is there. */
const PROGRAMS = existsSync(VERSITYGW) ? (["ours", "versitygw"] as const) : (["ours"] as const);

for (const program of PROGRAMS)
  describe(`code from a store that is ${program}`, () => {
    it("is fetched, followed from version to version, and runs on while the store is down", async () => {
      const registry = await TestRegistry.start(program);
      const cluster = await TestCluster.make();
      const source = await cluster.source(registry.client());
      const one = await registry.upload("a", says("one"), { minInstances: 1 });
      const first = await source.resolve("a", soon());
      expect(first).toMatchObject({ name: "a", digest: one });
      expect(await source.current("a", soon())).toBe(first.stamp);
      expect(await source.kept(soon())).toEqual(["a"]);
      const two = await registry.upload("a", says("two"));
      expect(await source.current("a", soon())).not.toBe(first.stamp);
      expect(await source.resolve("a", soon())).toMatchObject({ digest: two });
      await registry.admin.rollback({ name: "a" }, soon());
      expect(await source.resolve("a", soon())).toMatchObject({ digest: one });
      expect(await source.resolve(`a@sha256:${two}`, soon())).toMatchObject({ digest: two });
      expect(source.stats()).toMatchObject({ pulls: 2, pullFailures: 0, failures: 0 });
      await source[Symbol.asyncDispose]();
      await registry.kill();
      const restarted = await cluster.source(registry.client());
      expect(await restarted.resolve("a", soon())).toMatchObject({
        digest: one,
        unconfirmed: { code: "OL_REGISTRY_CLIENT_UNREACHABLE" },
      });
      await registry.launch();
      const again = await restarted.resolve("a", soon());
      expect(again).toMatchObject({ digest: one });
      expect(again.unconfirmed).toBeUndefined();
      const denied = registry.client({ accessKey: "nobody-key", secretKey: "nobody-secret" });
      const refused = await cluster.source(denied, { workerName: "worker-1" });
      // Not 404: a key that nobody knows says nothing about a lambda.
      await expect(refused.resolve("b", soon())).rejects.toHaveProperty("code", "OL_REGISTRY_CLIENT_DENIED");
      await registry.admin.remove({ name: "a" }, soon());
      await expect(restarted.current("a", soon())).rejects.toHaveProperty("code", "OL_LAMBDA_UNKNOWN");
    });
  });
