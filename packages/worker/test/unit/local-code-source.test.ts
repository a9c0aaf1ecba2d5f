import { mkdir, mkdtemp, readFile, readdir, rename, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { packBundle } from "@ol/bundle";
import { describe, expect, it, onTestFinished } from "vitest";

import { HOSTILE_BUNDLES } from "@ol/bundle/testing";
import { LocalCodeSource } from "../../src/index.ts";

const never = new AbortController().signal;

const setup = async () => {
  const directory = await mkdtemp(join(tmpdir(), "ol-source-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const [registryDir, codeDir] = [join(directory, "registry"), join(directory, "code")];
  const write = async (name: string, text: string, file = "f.py"): Promise<void> => {
    await mkdir(join(registryDir, name), { recursive: true });
    await writeFile(join(registryDir, name, file), text);
  };
  const pack = async (name: string, files: Readonly<Record<string, string>>): Promise<void> => {
    const from = await mkdtemp(join(directory, "code-"));
    for (const [file, text] of Object.entries(files)) await writeFile(join(from, file), text);
    await mkdir(registryDir, { recursive: true });
    await packBundle(from, `${from}.tar.gz`);
    await rename(`${from}.tar.gz`, join(registryDir, `${name}.tar.gz`));
  };
  const source = await LocalCodeSource.create({ registryDir, codeDir });
  return { source, registryDir, codeDir, write, pack };
};

/** Packs the code that a lambda has, and takes that away. */
const packed = async ({ registryDir }: { registryDir: string }, name: string): Promise<void> => {
  const directory = join(registryDir, name);
  await rm(`${directory}.tar.gz`, { force: true });
  await packBundle(directory, `${directory}.tar.gz`);
  await rm(directory, { recursive: true });
};

describe("code from a local directory", () => {
  it("is a snapshot: who edits the registry changes nothing that runs", async () => {
    const { source, codeDir, write } = await setup();
    await write("a", "old");
    const code = await source.resolve("a", never);
    await write("a", "new");
    expect(await readFile(join(codeDir, code.dir, "f.py"), "utf8")).toBe("old");
    expect(code).toMatchObject({ name: "a", dir: `a@${code.digest}` });
  });

  it("has a stamp that changes with the code, and a digest that changes only with its content", async () => {
    const { source, registryDir, write } = await setup();
    await write("a", "one");
    const first = await source.resolve("a", never);
    await utimes(join(registryDir, "a", "f.py"), 1, 1);
    expect(await source.current("a", never)).not.toBe(first.stamp);
    const touched = await source.resolve("a", never);
    expect(touched.digest).toBe(first.digest);
    await write("a", "two");
    expect((await source.resolve("a", never)).digest).not.toBe(first.digest);
  });

  it("names the lambdas that ask to be kept warm, as their ol.yaml is now", async () => {
    const { source, registryDir, write } = await setup();
    for (const name of ["plain", "warm", "none", "broken"]) await write(name, "");
    await write("warm", "min_instances: 2\n", "ol.yaml");
    await write("none", "min_instances: 0\n", "ol.yaml");
    await write("broken", "min_instances: lots\n", "ol.yaml");
    await writeFile(join(registryDir, "bundle.tar.gz"), "");
    await write(".hidden", "min_instances: 1\n", "ol.yaml");
    for (const stray of ["README.md", "notes"])
      await writeFile(join(registryDir, stray), "min_instances: 1\n");
    await symlink("notes", join(registryDir, "link"));
    await symlink("nowhere", join(registryDir, "broken-link"));
    expect(await source.kept(never)).toEqual(["warm"]);
    await write("warm", "max_instances: 2\n", "ol.yaml");
    await write("plain", "min_instances: 1\n", "ol.yaml");
    expect(await source.kept(never)).toEqual(["plain"]);
  });

  describe("that is packed", () => {
    it("is unpacked, and changes with its file", async () => {
      const { source, registryDir, codeDir, write } = await setup();
      await write("a", "one");
      await packed({ registryDir }, "a");
      const first = await source.resolve("a", never);
      expect(await readFile(join(codeDir, first.dir, "f.py"), "utf8")).toBe("one");
      await write("a", "two");
      await packed({ registryDir }, "a");
      expect(await source.current("a", never)).not.toBe(first.stamp);
      const second = await source.resolve("a", never);
      expect(await readFile(join(codeDir, second.dir, "f.py"), "utf8")).toBe("two");
      await expect(source.resolve("a.tar.gz", never)).rejects.toMatchObject({ code: "OL_BUNDLE_BAD_NAME" });
    });

    it("counts for nothing beside a directory of the same name", async () => {
      const { source, registryDir, codeDir, write } = await setup();
      await write("a", "packed");
      await packed({ registryDir }, "a");
      await write("a", "directory");
      const { dir } = await source.resolve("a", never);
      expect(await readFile(join(codeDir, dir, "f.py"), "utf8")).toBe("directory");
      await rm(join(registryDir, "a"), { recursive: true });
      expect((await source.resolve("a", never)).dir).not.toBe(dir);
    });

    it("can ask to be kept warm", async () => {
      const { source, registryDir, write } = await setup();
      for (const name of ["warm", "cold"]) await write(name, "");
      await write("warm", "min_instances: 2\n", "ol.yaml");
      for (const name of ["warm", "cold"]) await packed({ registryDir }, name);
      expect(await source.kept(never)).toEqual(["warm"]);
      await write("warm", "");
      await packed({ registryDir }, "warm");
      expect(await source.kept(never)).toEqual([]);
    });

    it.each(HOSTILE_BUNDLES.filter(({ unpacks }) => unpacks !== true).map((one) => [one.name, one] as const))(
      "and holds %s is refused, and leaves nothing",
      { timeout: 60_000 },
      async (_name, { code, packed: bytes }) => {
        const { source, registryDir, codeDir } = await setup();
        await mkdir(registryDir, { recursive: true });
        await writeFile(join(registryDir, "bad.tar.gz"), bytes);
        await utimes(join(registryDir, "bad.tar.gz"), 1, 1);
        // What was changed a moment ago may still be on its way there.
        const failed = expect.objectContaining({
          code: expect.toBeOneOf([code, "OL_LAMBDA_LOAD_FAILED"]) as string,
        });
        await expect(source.resolve("bad", never)).rejects.toEqual(failed);
        expect(await readdir(codeDir)).toEqual([".unused"]);
        expect(await readdir(join(codeDir, ".unused"))).toEqual([]);
      },
    );
  });

  it("is removed with its last release, and not before", async () => {
    const { source, codeDir, write } = await setup();
    await write("a", "one");
    const first = await source.resolve("a", never);
    const second = await source.resolve("a", never);
    source.release(first);
    expect(await readdir(codeDir)).toEqual([".unused", `a@${first.digest}`]);
    source.release(second);
    const third = await source.resolve("a", never);
    await source[Symbol.asyncDispose]();
    expect(await readdir(codeDir)).toEqual([".unused", `a@${third.digest}`]);
    source.release(third);
    await source[Symbol.asyncDispose]();
    expect(await readdir(codeDir)).toEqual([".unused"]);
  });

  it("has its ol.yaml read from the snapshot", async () => {
    const { source, write } = await setup();
    await write("a", "triggers:\n  http:\n    - method: GET\n", "ol.yaml");
    expect((await source.resolve("a", never)).config.methods).toEqual(["GET"]);
  });

  it("with a mistake in ol.yaml leaves nothing behind", async () => {
    const { source, codeDir, write } = await setup();
    await write("a", "nonsense: 1\n", "ol.yaml");
    await expect(source.resolve("a", never)).rejects.toMatchObject({ code: "OL_BUNDLE_BAD_CONFIG" });
    await source[Symbol.asyncDispose]();
    expect(await readdir(codeDir)).toEqual([".unused"]);
  });

  it("that is not there leaves nothing behind either", async () => {
    const { source, codeDir } = await setup();
    await expect(source.resolve("nobody", never)).rejects.toMatchObject({ code: "OL_LAMBDA_UNKNOWN" });
    await expect(source.current("nobody", never)).rejects.toMatchObject({ code: "OL_LAMBDA_UNKNOWN" });
    await expect(source.resolve("../x", never)).rejects.toMatchObject({ code: "OL_BUNDLE_BAD_NAME" });
    await expect(source.resolve("a@v1", never)).rejects.toMatchObject({ code: "OL_LAMBDA_UNKNOWN" });
    expect(await readdir(codeDir)).toEqual([".unused"]);
    expect(await readdir(join(codeDir, ".unused"))).toEqual([]);
  });

  it("begins with an empty directory, whatever a killed worker left in it", async () => {
    const { registryDir, codeDir } = await setup();
    await mkdir(join(codeDir, "old", "digest"), { recursive: true });
    await LocalCodeSource.create({ registryDir, codeDir });
    expect(await readdir(codeDir)).toEqual([".unused"]);
  });

  it("may be packed: NAME.tar.gz is unpacked, and what replaces it is seen", async () => {
    const { source, registryDir, codeDir, pack } = await setup();
    await pack("a", { "f.py": "one", "ol.yaml": "triggers:\n  http:\n    - method: GET\n" });
    const first = await source.resolve("a", never);
    expect(first.dir).toBe(`a@${first.digest}`);
    expect(await readFile(join(codeDir, first.dir, "f.py"), "utf8")).toBe("one");
    expect(first.config.methods).toEqual(["GET"]);
    const old = new Date(Date.now() - 60_000);
    await utimes(join(registryDir, "a.tar.gz"), old, old);
    await pack("a", { "f.py": "two" });
    expect(await source.current("a", never)).not.toBe(first.stamp);
    expect((await source.resolve("a", never)).digest).not.toBe(first.digest);
    await rm(join(registryDir, "a.tar.gz"));
    await expect(source.current("a", never)).rejects.toHaveProperty("code", "OL_LAMBDA_UNKNOWN");
  });

  it("that is there as a directory and packed is what the directory holds", async () => {
    const { source, codeDir, write, pack } = await setup();
    await pack("a", { "f.py": "packed" });
    await write("a", "plain");
    const { dir } = await source.resolve("a", never);
    expect(await readFile(join(codeDir, dir, "f.py"), "utf8")).toBe("plain");
  });

  it("packed, and still being copied there, is no mistake of its author", async () => {
    const { source, registryDir, codeDir, pack } = await setup();
    await pack("a", { "f.py": "one" });
    const file = join(registryDir, "a.tar.gz");
    const whole = await readFile(file);
    await writeFile(file, whole.subarray(0, whole.length / 2));
    await expect(source.resolve("a", never)).rejects.toMatchObject({
      code: "OL_LAMBDA_LOAD_FAILED",
      message: "the code of a is being written",
    });
    await writeFile(file, whole);
    await source.resolve("a", never);
    expect((await readdir(join(codeDir, ".unused"))).length).toBe(0);
  });
});
