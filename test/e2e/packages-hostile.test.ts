import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { type WheelSpec, wheel } from "../../packages/lambda/test/support/package-index/wheel.ts";
import type { ZipEntry } from "../../packages/lambda/test/support/package-index/zip.ts";
import { PackageRig } from "./support/package-rig.ts";

const text = (name: string, data: string, mode = 0o100644): ZipEntry => ({
  name,
  data: Buffer.from(data),
  mode,
});

const MARK = "EVIL = 'was here'\n";

/** A pyc that claims to be of another module, unchecked: Python would take it without looking at the source. */
const evilPyc = (): Buffer => {
  const program = `import marshal,importlib.util,sys
sys.stdout.buffer.write(importlib.util.MAGIC_NUMBER + b"\\x01\\0\\0\\0" + b"\\0"*8 + marshal.dumps(compile("EVIL = 1", "x", "exec")))`;
  return execFileSync("python3", ["-c", program]);
};

/** Wheels by what is wrong with them; `name` is how each is called. */
const HOSTILE: Readonly<Record<string, (name: string) => Partial<WheelSpec>>> = {
  "a name that leads out of it": () => ({
    entries: [text("../ol-victim-1.0-000000000000/ol_victim.py", MARK), text("../../ol_victim.py", MARK)],
  }),
  "a name that leads far out of it": () => ({ entries: [text("../../../../../../handler/f.py", MARK)] }),
  "an absolute name": () => ({
    entries: [text("/packages/evil.py", MARK), text("/host/out/ol_victim.py", MARK)],
  }),
  "a link, and a file through it": () => ({
    entries: [text("door", "/host", 0o120777), text("door/out/ol_victim.py", MARK)],
  }),
  "a link to a file of the host": () => ({ entries: [text("ol_link.py", "/etc/passwd", 0o120777)] }),
  "setuid and open modes": () => ({ entries: [text("ol_set", "#!/bin/sh\n", 0o104777)] }),
  "a device": () => ({ entries: [text("ol_device", "", 0o020666)] }),
  "names of devices and with a newline": () => ({
    entries: [text("con", MARK), text("nul.py", MARK), text("a\nb.py", MARK)],
  }),
  "a .pth and a sitecustomize": () => ({
    entries: [
      text("ol_evil.pth", `import os; os.environ["EVIL"] = "1"\n`),
      text("sitecustomize.py", 'import os; os.environ["EVIL"] = "1"\n'),
    ],
  }),
  "a RECORD that lies": () => ({ record: "../../../etc/passwd,sha256=x,1\nol_victim.py,,\n,,\n" }),
  "our own mark, and another module's pyc": () => ({
    entries: [
      text(".compiled", ""),
      { name: "__pycache__/ol_victim.cpython-311.pyc", data: evilPyc(), mode: 0o100644 },
    ],
  }),
  "the same name twice": (name) => ({
    entries: [text(`${name}.py`, MARK), text(`${name.toUpperCase()}.py`, MARK)],
  }),
  "scripts and data that lead out": (name) => ({
    entries: [
      text(`${name}-1.0.data/scripts/../../../ol_victim`, MARK),
      text(`${name}-1.0.data/data/../../ol_victim.py`, MARK),
    ],
  }),
  "directories for other things": () => ({
    entries: [text(".lock", MARK), text("ol_victim-9.dist-info/METADATA", MARK)],
  }),
};

const CASES = Object.entries(HOSTILE).map(([what, spec], at) => ({
  what,
  lambda: `hostile-${at}`,
  distribution: wheel({ name: `ol_hostile${at}`, ...spec(`ol_hostile${at}`) }),
}));

const VICTIM = wheel({ name: "ol_victim", files: { "ol_victim.py": "EVIL = 'nothing'\n" } });
const ASK_VICTIM =
  "import ol_victim, os\ndef f(event):\n    return [ol_victim.EVIL, os.environ.get('EVIL')]\n";

/** What is not as it should be among the packages and in a worker's directory. */
const damage = (rig: PackageRig): string[] => {
  const find = (...args: readonly string[]): string[] =>
    // Sandboxes that compile come and go meanwhile.
    execFileSync("find", ["packages", "registry", "-ignore_readdir_race", ...args], {
      cwd: rig.worker.directory,
      encoding: "utf8",
    })
      .split("\n")
      .filter(Boolean);
  const [python = "", ...more] = readdirSync(rig.packagesDir);
  const victims = rig.installed().filter((name) => name.startsWith("ol-victim-"));
  const source = join(rig.packagesDir, python, victims[0] ?? "", "ol_victim.py");
  return [
    ...more,
    ...victims.slice(1),
    ...rig.installed().filter((name) => !/^ol-(?:victim|hostile\d+)-1\.0-[0-9a-f]{12}$/u.test(name)),
    ...rig.unfinished(),
    ...(readFileSync(source, "utf8") === "EVIL = 'nothing'\n" ? [] : [source]),
    ...find("-path", "packages/*", "-not", "-type", "f", "-not", "-type", "d"),
    ...find("-path", "packages/*", "-perm", "/7022"),
    ...find("-type", "f", "-size", "-2", "-not", "-path", "packages/*/ol-hostile*", "-name", "*.py").filter(
      (file) => readFileSync(join(rig.worker.directory, file), "utf8").includes("was here"),
    ),
  ];
};

describe.each(["uv", "pip"])("a wheel that %s installs", (tool) => {
  it("changes nothing but itself, whatever is in it", async () => {
    const distributions = [VICTIM, ...CASES.map(({ distribution }) => distribution)];
    const rig = await PackageRig.start({ distributions, config: { package_tool: tool } });
    for (const { what, lambda, distribution } of CASES) {
      // Beside the victim: in one sandbox with it the first time, later where it is there already.
      rig.lambda(lambda, `ol-victim\n${distribution.project}\n`, ASK_VICTIM);
      // Either it is refused, or all that it has is in its own directory: who names it has what it brings, and nobody else.
      expect([what, [200, 500]]).toEqual([what, expect.arrayContaining([(await rig.call(lambda)).status])]);
      rig.lambda("victim", `ol-victim\n# ${lambda}\n`, ASK_VICTIM);
      expect([what, await rig.ask("victim")]).toEqual([what, [200, '["nothing",null]']]);
      expect([what, damage(rig)]).toEqual([what, []]);
    }
  }, 400_000);
});

describe("a wheel", () => {
  it("of gigabytes of nothing is ended at installer_limits, and others are installed meanwhile", async () => {
    const zeros = Buffer.alloc(160 * 1024 * 1024);
    const bomb = wheel({
      name: "ol_bomb",
      entries: [{ name: "zeros.bin", data: zeros, mode: 0o100644, deflate: true }],
      record: "",
    });
    expect(bomb.data.length).toBeLessThan(1024 * 1024);
    const rig = await PackageRig.start({
      distributions: [VICTIM, bomb],
      config: { installer_limits: { scratch_mb: 64 } },
    });
    rig.imports("bomb", "ol-bomb\n", "1", "ol_bomb");
    rig.imports("victim", "ol-victim\n", "ol_victim.EVIL", "ol_victim");
    expect(await rig.ask("bomb")).toEqual([503, expect.stringMatching(/installer_limits\.scratch_mb/u)]);
    expect(await rig.ask("victim")).toEqual([200, '"nothing"']);
    expect(rig.installed()).toHaveLength(1);
  });

  it("of 10,000 files, and one whose source ends the compiler, are installed and work", async () => {
    const files = Object.fromEntries(
      Array.from({ length: 10_000 }, (_one, at) => [`ol_many/m${at % 100}/n${at}.txt`, String(at)]),
    );
    const nested = `x = ${"(".repeat(3_000)}1${")".repeat(3_000)}\n`;
    const rig = await PackageRig.start({
      distributions: [
        wheel({ name: "ol_many", files: { ...files, "ol_many/__init__.py": "X = 1\n" } }),
        wheel({
          name: "ol_odd",
          files: { "ol_odd/__init__.py": "X = 2\n", "ol_odd/a.py": nested, "ol_odd/b.py": "X = 3\n" },
        }),
      ],
    });
    rig.imports("many", "ol-many\nol-odd\n", "ol_many.X + ol_odd.X", "ol_many, ol_odd");
    expect(await rig.ask("many")).toEqual([200, "3"]);
    await expect.poll(async () => (await rig.stats()).compiled, { timeout: 60_000 }).toBe(2);
    const [, odd = ""] = rig.installed();
    const [python = ""] = readdirSync(rig.packagesDir);
    expect(
      readdirSync(join(rig.packagesDir, python, odd, "ol_odd/__pycache__")).length,
    ).toBeGreaterThanOrEqual(1);
  });
});
