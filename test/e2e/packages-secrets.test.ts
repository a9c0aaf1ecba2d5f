import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it, onTestFinished } from "vitest";

import { PackageIndex } from "../../packages/lambda/test/support/package-index/package-index.ts";
import { wheel } from "../../packages/lambda/test/support/package-index/wheel.ts";
import { IMPATIENT, PackageRig, type PackageRigOptions } from "./support/package-rig.ts";

/** With a character that is another one in a URL. */
const PASSWORD = "Gr3at/S3cret";
const IN_URL = `ann:${encodeURIComponent(PASSWORD)}`;
const SPELLINGS = [PASSWORD, encodeURIComponent(PASSWORD), Buffer.from(`ann:${PASSWORD}`).toString("base64")];
const DISTRIBUTIONS = [wheel({ name: "ol_plain" }), wheel({ name: "ol_other" })];

/** Which of the words of its event it can see: in its environment, in what /proc tells, and in every file that it may read. */
const LOOK = `
import os, ol_plain
def f(event):
    words = [word.encode() for word in event]
    seen, bytes_read = set(), 0
    def look(text):
        nonlocal bytes_read
        bytes_read += len(text)
        seen.update(word.decode() for word in words if word in text)
    look(repr(dict(os.environ)).encode())
    paths = [f"/proc/{pid}/{name}" for pid in ("self", "1") for name in ("environ", "cmdline", "mountinfo")]
    for top in ("/host", "/tmp", "/packages", "/handler", "/runtime", "/etc"):
        for where, _names, files in os.walk(top):
            paths += [os.path.join(where, name) for name in files if os.path.isfile(os.path.join(where, name))]
    for path in paths:
        try:
            with open(path, "rb") as file:
                look(file.read(1 << 20))
        except PermissionError:
            continue
    return {"seen": sorted(seen), "bytes": bytes_read}
`;

const temporary = (): string => {
  const directory = mkdtempSync(join(tmpdir(), "ol-secret-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
};

type Way = (index: PackageIndex, home: string) => PackageRigOptions;

/** A worker that is told of the index in one of the ways that there are; without a mirror that would come before them. */
const noMirror = { pip_mirror: undefined };

const WAYS: Readonly<Record<string, Way>> = {
  pip_mirror: (index) => ({ config: { pip_mirror: index.urlWith(IN_URL) } }),
  "pip_mirror and netrc": (index, home) => {
    writeFileSync(join(home, ".netrc"), `machine 127.0.0.1 login ann password ${PASSWORD}\n`, {
      mode: 0o600,
    });
    return { config: { pip_mirror: index.url } };
  },
  "pip.conf": (index, home) => {
    writeFileSync(join(home, "pip.conf"), `[global]\nindex-url = ${index.urlWith(IN_URL)}\n`);
    return { config: noMirror, environment: { PIP_CONFIG_FILE: join(home, "pip.conf") } };
  },
  PIP_INDEX_URL: (index) => ({ config: noMirror, environment: { PIP_INDEX_URL: index.urlWith(IN_URL) } }),
};

const CASES = ["uv", "pip"].flatMap((tool) =>
  Object.entries(WAYS).map(([name, way]) => [tool, name, way] as const),
);

describe("a private index's password", () => {
  it.each(CASES)(
    "lets %s install by %s, and is nowhere to be seen",
    async (tool, _name, way) => {
      await using index = await PackageIndex.start(DISTRIBUTIONS, IN_URL);
      const home = temporary();
      const options = way(index, home);
      const rig = await PackageRig.start({
        ...options,
        config: { package_tool: tool, ...options.config },
        environment: { HOME: home, XDG_CONFIG_HOME: home, ...IMPATIENT, ...options.environment },
      });
      rig.lambda("look", "ol-plain\n", LOOK);
      const { status, body } = await rig.call("look", SPELLINGS);
      const text = body.toString();
      expect([status, text]).toEqual([200, expect.any(String)]);
      expect(JSON.parse(text)).toMatchObject({ seen: [] });
      expect(
        (JSON.parse((await rig.call("look", ["VERSION", "PATH"])).body.toString()) as { seen: string[] })
          .seen,
      ).toEqual(["PATH", "VERSION"]);
      const told = [text];
      // One that is not there, and one while the index refuses: both make the tool say where it looked.
      rig.imports("missing", "ol-nowhere\n", "1");
      told.push((await rig.ask("missing")).join(" "));
      index.trouble = "reset";
      rig.imports("refused", "ol-other\n", "1", "ol_other");
      told.push((await rig.ask("refused")).join(" "));
      expect(told[2]).toMatch(/^503 .*cannot be reached/u);
      for (const page of ["/stats", "/metrics", "/state", "/debug"]) told.push(await rig.text(page));
      told.push(rig.worker.log());
      for (const word of SPELLINGS) expect(told.filter((one) => one.includes(word))).toEqual([]);
      // Nor in any file that is left, but those in which whoever runs the worker wrote it.
      for (const word of SPELLINGS) {
        const found = execFileSync("sh", [
          "-c",
          'grep -rlF -e "$0" "$1" || true',
          word,
          rig.worker.directory,
        ]);
        expect(found.toString().trim().split("\n").filter(Boolean)).toEqual(
          found.toString().includes("worker-0.json") ? [join(rig.worker.directory, "worker-0.json")] : [],
        );
      }
    },
    120_000,
  );

  it("that is wrong is said to be refused, without the one that was tried", async () => {
    await using index = await PackageIndex.start(DISTRIBUTIONS, IN_URL);
    for (const tool of ["uv", "pip"]) {
      const config = { package_tool: tool, pip_mirror: index.urlWith("ann:Wr0ngWr0ng") };
      const rig = await PackageRig.start({ config });
      rig.imports("plain", "ol-plain\n", "1");
      const [status, text] = await rig.ask("plain");
      expect([status, text]).toEqual([503, expect.stringMatching(/401/u)]);
      expect(text + rig.worker.log()).not.toContain("Wr0ngWr0ng");
    }
  });
});

describe("a mirror", () => {
  it.each(["uv", "pip"])(
    "is the only index that %s asks, whatever the machine's settings say",
    async (tool) => {
      await using other = await PackageIndex.start([wheel({ name: "ol_plain", version: "9.0" })]);
      const home = temporary();
      const lines = [
        `index-url = ${other.url}`,
        `extra-index-url = ${other.url}`,
        `find-links = ${other.url}ol-plain/`,
      ];
      writeFileSync(
        join(home, "pip.conf"),
        `[global]\n${lines.join("\n")}\n[install]\n${lines.join("\n")}\n`,
      );
      writeFileSync(join(home, "uv.toml"), `[[index]]\nurl = "${other.url}"\n`);
      const rig = await PackageRig.start({
        distributions: DISTRIBUTIONS,
        config: { package_tool: tool },
        environment: {
          HOME: home,
          PIP_CONFIG_FILE: join(home, "pip.conf"),
          UV_CONFIG_FILE: join(home, "uv.toml"),
          PIP_EXTRA_INDEX_URL: other.url,
          UV_INDEX: other.url,
          PIP_FIND_LINKS: `${other.url}ol-plain/`,
        },
      });
      rig.imports("plain", "ol-plain\n", "ol_plain.VERSION");
      expect(await rig.ask("plain")).toEqual([200, '"1.0"']);
      expect(other.pages).toBe(0);
    },
  );
});
