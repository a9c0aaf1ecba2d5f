import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { type Engine, Host, type Mode } from "./host.ts";
import { FAILED, expectUnharmed, makePlain } from "./zygote-kit.ts";

const UNFIT = ["unfit"];

/** What import code leaves in a zygote, and what of it reaches those that are forked from it. */
export const describeZygoteImports = (mode: Mode): void => {
  let host: Host;
  let engine: Engine;

  /** One question to a sandbox forked from that zygote. */
  const ask = async (
    zygote: string | undefined,
    packages: readonly string[],
    event: object,
  ): Promise<unknown> => {
    const from = zygote === undefined ? {} : { zygote };
    const sandbox = await engine.sandbox("none", { code: "forked", packages, ...from });
    try {
      return await sandbox.probe({ probe: "forked", ...event });
    } finally {
      await sandbox.destroy();
    }
  };

  beforeAll(async () => {
    host = await Host.open(mode);
    engine = await host.engine();
    await makePlain(engine);
  });

  afterAll(() => host[Symbol.asyncDispose]());

  describe("what a zygote imports", () => {
    it.each([
      ["ol_thread", /1 more thread \(a-thread-of-its-own\)/, UNFIT],
      ["ol_socket", /open socket:/, UNFIT],
      ["ol_file", /open \/tmp\/left-open/, UNFIT],
      ["ol_child", /process sleep/, UNFIT],
      ["ol_daemon", /process s(h|leep)/, UNFIT],
      ["ol_signal", /signal 10 handled/, UNFIT],
      ["ol_loop", /an event loop/, UNFIT],
      ["ol_path", /a changed sys\.path/, UNFIT],
      ["ol_finder", /a finder in sys\.meta_path/, UNFIT],
      ["ol_hook", /a hook in sys\.path_hooks/, UNFIT],
      ["ol_builtin", /replaced builtins \(open\)/, UNFIT],
      ["ol_exit", /exited with code 3 while it imported/, []],
      ["ol_crash", /ended by SIGSEGV while it imported/, []],
      ["ol_leaver", /SystemExit: it does not want to be imported/, []],
      ["ol_absent", /ModuleNotFoundError: No module named 'ol_absent'/, []],
      [
        "ol_memory",
        mode === "root" ? /more memory than its limit/ : /more memory than its limit|MemoryError/,
        [],
      ],
    ])(
      "is refused with the reason, and the package named that is unfit for zygotes: %s",
      async (module, reason, unfit) => {
        const spec = { packages: ["plain", "unfit"], modules: ["ol_plain", module] };
        const error = await engine.createZygote("unfit", spec);
        expect(error).toEqual({ code: FAILED, message: expect.stringMatching(reason), unfit });
        await expectUnharmed(engine);
      },
    );

    it("is not blamed for what a package did that it imports", async () => {
      const spec = { packages: ["importer", "unfit", "random", "plain"], modules: ["ol_importer"] };
      const error = await engine.createZygote("importer", spec);
      const message = "importing left what a fork cannot share (unfit): 1 more thread (a-thread-of-its-own)";
      expect(error).toEqual({ code: FAILED, message, unfit: UNFIT });
    });

    it("may have ended its threads, files and children itself, and added to Python's own", async () => {
      expect(await engine.createZygote("tidy", { packages: UNFIT, modules: ["ol_tidy"] })).toBeUndefined();
      await engine.killZygote("tidy");
      expect(await engine.zygoteExit("tidy")).toEqual({ reason: "killed" });
    });

    it("is given as much time as was said", async () => {
      const spec = { packages: UNFIT, modules: ["ol_endless"], importMs: 300 };
      const error = await engine.createZygote("endless", spec);
      expect(error?.message).toBe("it did not import its modules within 0.3 s");
      await expectUnharmed(engine);
    });

    it("is told with the modules that it looked for in vain", async () => {
      expect(
        await engine.createZygote("seeker", { packages: ["plain"], modules: ["ol_seeker"] }),
      ).toBeUndefined();
      const { ms = 0, memoryMb = 0, sought } = engine.importOf("seeker") ?? {};
      expect(sought).toEqual(["ol_not_there", "ol_not_there_either"]);
      expect([ms > 0, memoryMb > 0, memoryMb < 16]).toEqual([true, true, true]);
    });

    it("is tried again after the others, if it wants to be imported by one of them", async () => {
      const spec = { packages: ["plain"], modules: ["ol_part_of_it", "ol_whole"] };
      expect(await engine.createZygote("whole", spec)).toBeUndefined();
      const alone = { packages: ["plain"], modules: ["ol_part_of_it", "ol_plain"] };
      const error = await engine.createZygote("alone", alone);
      expect(error?.message).toMatch(/ImportError: ol_whole should be imported before its part/u);
    });

    it("counts as memory only what it has besides its parent's", async () => {
      const big = { packages: ["random"], modules: ["ol_big"] };
      expect(await engine.createZygote("big", big)).toBeUndefined();
      const plain = { parent: "big", packages: ["random", "plain"], modules: ["ol_plain"] };
      expect(await engine.createZygote("below-big", plain)).toBeUndefined();
      expect(engine.importOf("big")?.memoryMb).toBeGreaterThan(30);
      expect(engine.importOf("below-big")?.memoryMb).toBeLessThan(16);
    });
  });

  describe("a sandbox forked from a zygote", () => {
    it("finds what it declares, in its own order, and nothing else of the zygote's", async () => {
      const spec = { packages: ["random", "plain"], modules: ["ol_plain"] };
      expect(await engine.createZygote("two", spec)).toBeUndefined();
      const wanted = ["ol_plain", "ol_seeker", "ol_random", "ol_importer"];
      expect(await ask("two", ["importer", "plain"], { import: wanted })).toEqual([
        "/packages/plain/ol_plain.py",
        "/packages/plain/ol_seeker.py",
        "ModuleNotFoundError",
        "ModuleNotFoundError",
      ]);
      const path = (await ask("two", ["unfit", "plain"], { path: true })) as string[];
      expect(path.slice(-2)).toEqual(["/packages/unfit", "/packages/plain"]);
    });

    it("finds its own parts of a namespace package that the zygote has loaded other parts of", async () => {
      const packages = ["space-a", "extended-a"];
      const spec = { packages, modules: ["ol_space.a", "ol_extended.a"] };
      expect(await engine.createZygote("space", spec)).toBeUndefined();
      const event = { import: ["ol_space.a", "ol_space.b", "ol_extended.a", "ol_extended.b"] };
      const all = [...packages, "space-b", "extended-b"];
      const found = [
        "/packages/space-a/ol_space/a.py",
        "/packages/space-b/ol_space/b.py",
        "/packages/extended-a/ol_extended/a.py",
        "/packages/extended-b/ol_extended/b.py",
      ];
      expect(await ask(undefined, all, event)).toEqual(found);
      expect(await ask("space", all, event)).toEqual(found);
    });

    it("is as one that imported nothing, whatever the zygote's import code changed", async () => {
      const packages = ["untidy", "plain"];
      expect(await engine.createZygote("untidy", { packages, modules: ["ol_untidy"] })).toBeUndefined();
      const state = await ask("untidy", ["plain"], { state: true });
      expect(state).toEqual(await ask(undefined, ["plain"], { state: true }));
      expect(state).toMatchObject({ directory: "/handler", umask: 0o022, arguments: [""] });
    });
  });
};
