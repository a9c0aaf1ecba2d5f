import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
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

/** Entries of a wheel, each more than any honest one has. */
const HOSTILE: Readonly<Record<string, Partial<WheelSpec>>> = {
  "a name that leads out of it": { entries: [text("../ol_victim-1.0-000000000000/ol_victim.py", MARK)] },
  "a name that leads far out of it": { entries: [text("../../../../../../handler/f.py", MARK)] },
  "an absolute name": { entries: [text("/packages/evil.py", MARK), text("/host/out/ol_victim.py", MARK)] },
  "a link, and a file through it": {
    entries: [text("door", "/host", 0o120777), text("door/out/ol_victim.py", MARK)],
  },
  "a link to a file of the host": { entries: [text("ol_link.py", "/etc/passwd", 0o120777)] },
  "setuid and open modes": { entries: [text("ol_set", "#!/bin/sh\n", 0o104777)] },
  "a device": { entries: [text("ol_device", "", 0o020666)] },
  "names of devices and of nothing": {
    entries: [text("con", MARK), text("nul.py", MARK), text("a\nb.py", MARK)],
  },
  "a .pth and a sitecustomize": {
    entries: [text("ol_evil.pth", `import os; os.environ["EVIL"] = "1"\n`), text("sitecustomize.py", MARK)],
  },
  "a RECORD that lies": { record: "../../../etc/passwd,sha256=x,1\nol_victim.py,,\n,,\n" },
  "our own mark, and another module's pyc": {
    entries: [
      text(".compiled", ""),
      { name: "__pycache__/ol_victim.cpython-311.pyc", data: evilPyc(), mode: 0o100644 },
    ],
  },
  "the same name twice": { entries: [text("ol_hostile.py", MARK), text("OL_HOSTILE.py", MARK)] },
  "scripts and data that lead out": {
    entries: [
      text("ol_hostile-1.0.data/scripts/../../../ol_victim", MARK),
      text("ol_hostile-1.0.data/data/../../ol_victim.py", MARK),
    ],
  },
  "a directory of ours for other things": {
    entries: [text(".lock", MARK), text("ol_hostile-9.dist-info/x", "")],
  },
};

const VICTIM = wheel({ name: "ol_victim", files: { "ol_victim.py": "EVIL = 'nothing'\n" } });

describe.each(["uv", "pip"])("a wheel that %s installs", (tool) => {
  it.each(Object.entries(HOSTILE))("with %s changes nothing but itself", async (_what, spec) => {
    const hostile = wheel({ name: "ol_hostile", ...spec });
    const rig = await PackageRig.start({ distributions: [VICTIM, hostile], config: { package_tool: tool } });
    const victim =
      "import ol_victim, os\ndef f(event):\n    return [ol_victim.EVIL, os.environ.get('EVIL')]\n";
    rig.lambda("victim", "ol-victim\n", victim);
    writeFileSync(join(rig.worker.directory, "secret"), "secret");
    // Beside the victim, in the same sandbox, and where the victim is there already.
    rig.imports("both", "ol-victim\nol-hostile\n", "ol_victim.EVIL", "ol_victim");
    const [status, answer] = await rig.ask("both");
    // Either it is refused, or all that it has is in its own directory.
    expect([200, 500]).toContain(status);
    if (status === 200) expect(answer).toBe('"nothing"');
    expect(await rig.ask("victim")).toEqual([200, '["nothing",null]']);
    const others = rig.installed().filter((name) => !name.startsWith("ol-hostile-"));
    expect(others).toEqual([expect.stringMatching(/^ol-victim-1\.0-[0-9a-f]{12}$/u)]);
    expect(rig.unfinished()).toEqual([]);
    const [python = ""] = readdirSync(rig.packagesDir);
    expect(readdirSync(rig.packagesDir)).toEqual([python]);
    const found = execFileSync("find", [rig.packagesDir, "-not", "-type", "f", "-not", "-type", "d"]);
    expect(found.toString()).toBe("");
    expect(execFileSync("find", [rig.packagesDir, "-perm", "/7022"]).toString()).toBe("");
    const victimDirectory = join(rig.packagesDir, python, others[0] ?? "");
    expect(readFileSync(join(victimDirectory, "ol_victim.py"), "utf8")).toBe("EVIL = 'nothing'\n");
    expect(existsSync("/etc/passwd")).toBe(true);
    expect(
      execFileSync("grep", ["-rl", "was here", rig.worker.directory, "--include=*.py"], tolerant).toString(),
    ).toSatisfy((list: string) =>
      list.split("\n").every((path) => path === "" || path.includes("/ol-hostile-1.0-")),
    );
  });
});

/** grep's 1 is that there is nothing. */
const tolerant = { stdio: ["ignore", "pipe", "inherit"] as ["ignore", "pipe", "inherit"] };

describe("a wheel", () => {
  it("of gigabytes of nothing is ended at installer_limits, and others are installed meanwhile", async () => {
    const zeros = Buffer.alloc(400 * 1024 * 1024);
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
