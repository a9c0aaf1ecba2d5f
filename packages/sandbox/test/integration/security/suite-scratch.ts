import { chown, lstat, mkdir, readFile, readdir, stat, writeFile } from "node:fs/promises";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { SLOWNESS } from "../../support/scale.ts";
import { type Engine, Host, type Mode } from "./host.ts";

// The rest is removed behind the sandbox's end.
const REMOVAL_TIMEOUT_MS = 30_000 * SLOWNESS;
const SOAK = process.env["OL_TEST_SOAK"] === "1";
const FILES = SOAK ? 100_000 : 20_000;
const POLL = { timeout: REMOVAL_TIMEOUT_MS };
const UNHARMED = { bit: true, targetIsTheSame: true, saved: "what was written" };
const SECRET = "root:not-for-lambdas\n";

/** Scratch directories made to harm whoever follows, reads, saves or removes what is in them. */
export const describeScratch = (mode: Mode): void => {
  describe("a hostile scratch directory", () => {
    let host: Host;
    let engine: Engine;
    let target: string;

    beforeAll(async () => {
      host = await Host.open(mode);
      engine = await host.engine();
      // As good as /etc/shadow: the engine's user alone may read it, so that nothing but not following protects it.
      const directory = path.join(path.dirname(engine.workDir), "private");
      target = path.join(directory, "shadow");
      await mkdir(directory, { mode: 0o700 });
      await writeFile(target, SECRET, { mode: 0o600 });
      const owner = await stat(engine.workDir);
      for (const entry of [directory, target]) await chown(entry, owner.uid, owner.gid);
    });

    afterAll(() => host[Symbol.asyncDispose]());

    /** What is to be seen afterwards; UNHARMED is all well. */
    const biteAndDestroy = async (kinds: readonly string[]): Promise<object> => {
      const before = await stat(target);
      // As many files as this are allowed, 256 for each MiB.
      const limits = { scratchMb: Math.max(4, Math.ceil((FILES + 10_000) / 256)) };
      const sandbox = await engine.sandbox("none", { name: "biter", limits });
      const outcome = await sandbox.probe({ probe: "bite", kinds, target, files: FILES, depth: 5000 });
      // Something to be saved by whoever saves output.
      await sandbox.probe({ probe: "output-bomb", mib: 0.1 });
      await sandbox.destroy();
      const after = await stat(target);
      const same = (["mode", "uid", "size", "mtimeMs", "ino"] as const).every(
        (field) => after[field] === before[field],
      );
      return {
        bit: outcome.succeeded,
        targetIsTheSame: same && (await readFile(target, "utf8")) === SECRET,
        saved: await savedOutput(engine),
      };
    };

    it.each([
      ["a link in the place of its socket", ["server-pipe-link"]],
      ["a socket of its own in the place of its socket", ["server-pipe-socket"]],
      ["a link in the place of its output", ["stdout-link"]],
      ["a directory and a FIFO in the place of its output", ["stdout-directory", "stderr-fifo"]],
      ["links to the host everywhere", ["links"]],
      ["5,000 nested directories", ["nested"]],
      ["directories of mode 0", ["mode-zero"]],
      ["mode 0 itself", ["mode-zero", "scratch-mode"]],
      [`${FILES} files`, ["many"]],
      ["names with newlines, options, escapes and bytes that are no text", ["names"]],
      ["all of it at once", ["links", "nested", "mode-zero", "names", "stdout-link", "server-pipe-link"]],
    ])(
      "with %s is gone after the end, and nothing of the host has changed",
      async (_what, kinds) => {
        expect(await biteAndDestroy(kinds)).toEqual(UNHARMED);
        await expect.poll(() => leftovers(engine), POLL).toEqual([]);
      },
      REMOVAL_TIMEOUT_MS * 2,
    );

    it("with a setuid program in it lies where nobody else can enter", async () => {
      const sandbox = await engine.sandbox("none", { name: "biter" });
      expect(await sandbox.probe({ probe: "bite", kinds: ["setuid-file"] })).toMatchObject({
        succeeded: true,
      });
      const gift = await stat(path.join(sandbox.scratch, "gift"));
      expect(gift.mode & 0o4000).toBe(0o4000);
      const handlers = await stat(path.join(engine.workDir, "handlers"));
      expect(handlers.mode & 0o777).toBe(0o700);
      await sandbox.destroy();
      await expect.poll(() => leftovers(engine), POLL).toEqual([]);
    });

    it("of a dead engine is gone after the next one's start and end", async () => {
      const killed = await host.engine();
      const sandbox = await killed.sandbox("none", { name: "biter" });
      await sandbox.probe({ probe: "bite", kinds: ["links", "nested", "mode-zero", "names"], target });
      process.kill(killed.brokerPid, "SIGKILL");
      await sandbox.destroy();
      await killed[Symbol.asyncDispose]();
      await using next = await host.engine([], [], killed.workDir);
      await expect.poll(() => leftovers(next), POLL).toEqual([]);
    });
  });
};

const leftovers = async (engine: Engine): Promise<string[]> => [
  ...(await readdir(path.join(engine.workDir, "handlers"))),
  ...(await readdir(path.join(engine.workDir, "trash"))),
  ...(await readdir(path.join(engine.workDir, "run"))).filter((name) => name !== "lock"),
];

/** Whether saved output is only what was written to the output's own descriptor. */
const savedOutput = async (engine: Engine): Promise<string> => {
  const directory = path.join(engine.logDir, "biter");
  const names = await readdir(directory);
  for (const name of names) {
    if (!(await lstat(path.join(directory, name))).isFile()) return `${name} is not a file`;
    const text = await readFile(path.join(directory, name), "utf8");
    if (/[^x]/.test(text)) return `${name} holds ${text.slice(0, 100)}`;
  }
  return names.length === 0 ? "nothing was saved" : "what was written";
};
