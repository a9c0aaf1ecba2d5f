import assert from "node:assert/strict";

import type { EngineZygote, ZygoteSpec } from "../engine.ts";
import { type ImportReport, parseImports } from "../imports.ts";
import type { SandboxPool } from "../pool.ts";
import type { Sandbox } from "../sandbox.ts";
import { SANDBOX_MB, failsWith, memoryWait, resultOf, specOf } from "./conformance-kit.ts";
import type { ConformanceCase } from "./conformance.ts";

const PACKAGES = ["conformance"];

const zygoteSpec = (more: Partial<ZygoteSpec> = {}): ZygoteSpec => ({
  network: "none",
  packages: PACKAGES,
  modules: ["ol_conformance"],
  limits: specOf("echo").limits,
  ...more,
});

const forked = (pool: SandboxPool, zygote: string): Promise<Sandbox> =>
  pool.acquire({ ...specOf("echo"), zygote, packages: PACKAGES });

const make = (pool: SandboxPool, id: string, more?: Partial<ZygoteSpec>): Promise<EngineZygote> =>
  pool.createZygote(id, zygoteSpec(more), memoryWait());

/** How zygotes begin and end, for engines that have them. */
export const ZYGOTE_CASES: readonly ConformanceCase[] = [
  {
    title: "forks sandboxes from a zygote with packages",
    run: async (pool, engine) => {
      const zygote = await make(pool, "one");
      assert.equal(zygote.id, "one");
      assert.equal(engine.stats().zygotes, 1);
      const sandboxes = await Promise.all([1, 2, 3].map(() => forked(pool, "one")));
      const results = sandboxes.map((sandbox, number) => resultOf(sandbox, number));
      assert.deepEqual(await Promise.all(results), [0, 1, 2]);
    },
  },
  {
    title: "forks zygotes from zygotes",
    run: async (pool) => {
      await make(pool, "one");
      await make(pool, "two", { parent: "one", modules: ["ol_conformance.more"] });
      assert.equal(await resultOf(await forked(pool, "two"), "x"), "x");
    },
  },
  {
    title: "lets what was forked from a zygote outlive it",
    run: async (pool, engine) => {
      const zygote = await make(pool, "one");
      const sandbox = await forked(pool, "one");
      await make(pool, "two", { parent: "one" });
      await Promise.all([zygote.kill(), zygote.kill()]);
      assert.deepEqual(await zygote.exited, { reason: "killed" });
      assert.equal(engine.stats().zygotes, 1);
      assert.equal(await resultOf(sandbox, "alive"), "alive");
      assert.equal(await resultOf(await forked(pool, "two"), "too"), "too");
    },
  },
  {
    title: "says that a zygote is not there, or not any more",
    run: async (pool) => {
      await failsWith(forked(pool, "never"), "OL_SANDBOX_NO_ZYGOTE");
      await failsWith(make(pool, "child", { parent: "never" }), "OL_SANDBOX_NO_ZYGOTE");
      await (await make(pool, "one")).kill();
      await failsWith(forked(pool, "one"), "OL_SANDBOX_NO_ZYGOTE");
      await make(pool, "one");
      assert.equal(await resultOf(await forked(pool, "one"), 1), 1);
    },
  },
  {
    title: "refuses a second zygote of a name, and one of another network",
    run: async (pool) => {
      await make(pool, "one");
      await failsWith(make(pool, "one"), "OL_SANDBOX_BAD_OPTIONS");
      await failsWith(make(pool, "two", { parent: "one", network: "host" }), "OL_SANDBOX_BAD_OPTIONS");
      const other = pool.acquire({ ...specOf("echo"), zygote: "one", network: "host" });
      await failsWith(other, "OL_SANDBOX_BAD_OPTIONS");
    },
  },
  {
    title: "says why a zygote could not import its modules",
    run: async (pool, engine) => {
      const { message } = await failsWith(
        make(pool, "one", { modules: ["ol_conformance", "no_such_module_anywhere"] }),
        "OL_SANDBOX_ZYGOTE_FAILED",
      );
      assert.match(message, /ModuleNotFoundError: No module named 'no_such_module_anywhere'/);
      assert.equal(engine.stats().zygotes, 0);
      assert.equal(pool.stats().promisedMb, 0);
    },
  },
  {
    title: "says how a zygote's import went",
    run: async (pool) => {
      const { ms, memoryMb, sought } = (await make(pool, "one", { importMs: 20_000 })).import;
      assert.ok(ms > 0 && ms < 20_000 && memoryMb > 0 && memoryMb < SANDBOX_MB, `${ms} ms, ${memoryMb} MB`);
      assert.deepEqual(sought, []);
      await failsWith(make(pool, "two", { importMs: 0 }), "OL_SANDBOX_BAD_OPTIONS");
    },
  },
  {
    title:
      "says what a sandbox with packages imported itself, before it is ready, and nothing of one without",
    run: async (pool) => {
      const heard: string[] = [];
      const reports: (ImportReport | undefined)[] = [];
      pool.on("guest", ({ meta }, name, body) => {
        if (name === "imports") reports.push(parseImports(body, meta.packages ?? []));
        heard.push(name);
      });
      pool.on("ready", () => heard.push("ready"));
      await make(pool, "one");
      for (const more of [{ packages: PACKAGES }, { packages: PACKAGES, zygote: "one" }, {}])
        await (
          await pool.acquire({ ...specOf("importer"), ...more })
        ).ready;
      assert.deepEqual(heard.splice(0), ["imports", "ready", "imports", "ready", "ready"]);
      for (const code of ["wsgi", "asgi"])
        await (
          await pool.acquire({ ...specOf(code), packages: PACKAGES })
        ).ready;
      assert.deepEqual(heard, ["imports", "ready", "imports", "ready"]);
      const [first] = reports[0]?.packages ?? [];
      assert.equal(first?.directory, "conformance");
      assert.deepEqual(first.modules, ["ol_conformance", "ol_conformance.more"]);
      // The second has the first module from its zygote.
      assert.deepEqual(reports[1]?.packages[0]?.modules, ["ol_conformance.more"]);
    },
  },
  {
    title: "promises memory to zygotes, and takes it from one without children when it is short",
    memoryMb: 2 * SANDBOX_MB,
    run: async (pool) => {
      const gone: string[] = [];
      pool.on("zygoteGone", (id, { reason }) => gone.push(`${id} ${reason}`));
      const zygote = await make(pool, "one");
      assert.equal(pool.stats().promisedMb, SANDBOX_MB);
      const sandbox = await forked(pool, "one");
      const child = pool.createZygote("two", zygoteSpec({ parent: "one" }), { deadlineMs: 1 });
      await failsWith(child, "OL_SANDBOX_NO_MEMORY");
      assert.equal(pool.stats().zygotes, 1);
      await make(pool, "two");
      assert.deepEqual(gone, ["one killed"]);
      assert.deepEqual(await zygote.exited, { reason: "killed" });
      await sandbox.destroy();
    },
  },
  {
    title: "ends zygotes with the pool, and with the engine",
    run: async (pool, engine) => {
      const zygote = await make(pool, "one");
      await pool.close();
      assert.deepEqual(await zygote.exited, { reason: "killed" });
      assert.equal(pool.stats().zygotes, 0);
      await failsWith(make(pool, "two"), "OL_SANDBOX_CLOSED");
      const other = await engine.createZygote?.("three", zygoteSpec());
      await engine.close();
      await other?.exited;
      assert.equal(engine.stats().zygotes, 0);
    },
  },
];
