import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { sourceArchive, wheel } from "../../packages/lambda/test/support/package-index/wheel.ts";
import { PackageRig } from "./support/package-rig.ts";

const PLAIN = [wheel({ name: "ol_plain" }), wheel({ name: "ol_plain", version: "2.0" })];
const NEEDS = wheel({
  name: "ol_needs",
  requires: [
    "ol-plain<2",
    'ol-extra>=1; extra == "more"',
    'ol-never; python_version < "3"',
    'ol-second[more]; extra == "most"',
  ],
  extras: ["more", "most"],
});
const OTHERS = [
  NEEDS,
  wheel({ name: "ol_extra", version: "1.2.post3" }),
  wheel({ name: "ol_second", requires: ['ol-extra; extra == "more"'], extras: ["more"] }),
  wheel({ name: "ol_foreign", tag: "cp39-cp39-win_amd64" }),
  sourceArchive("ol_source", "1.0", Buffer.from("not even an archive")),
  wheel({ name: "ol_future", python: ">=4" }),
  wheel({ name: "ol_space_one", files: { "ol_space/one.py": "HERE = 1\n" } }),
  wheel({ name: "ol_space_two", files: { "ol_space/two.py": "HERE = 2\n" } }),
  wheel({
    name: "ol_tool",
    files: {
      "ol_tool/__init__.py": "import os\nDATA = open(os.path.dirname(__file__) + '/data.txt').read()\n",
      "ol_tool/data.txt": "data",
      "ol_tool-1.0.data/scripts/ol-tool": "#!python\nprint('hello')\n",
      "ol_tool-1.0.data/data/share/ol.txt": "shared",
    },
  }),
];

const versionsOf = (names: readonly string[]): string[] =>
  names.map((name) => name.replace(/-[0-9a-f]{12}$/u, ""));

describe.each(["uv", "pip"])("packages that %s installs", (tool) => {
  const start = (): Promise<PackageRig> =>
    PackageRig.start({ distributions: [...PLAIN, ...OTHERS], config: { package_tool: tool } });

  it("are there with what they need, by extras and markers, and nothing else", async () => {
    const rig = await start();
    rig.imports("plain", "ol-needs\n", "ol_plain.VERSION", "ol_needs, ol_plain");
    expect(await rig.ask("plain")).toEqual([200, '"1.0"']);
    expect(versionsOf(rig.installed())).toEqual(["ol-needs-1.0", "ol-plain-1.0"]);
    rig.imports("more", "OL.Needs[more]>=1,<2\n", "ol_extra.VERSION", "ol_extra");
    expect(await rig.ask("more")).toEqual([200, '"1.2.post3"']);
    rig.imports("most", "ol-needs[most]\n", "ol_extra.VERSION", "ol_extra, ol_second");
    expect(await rig.ask("most")).toEqual([200, '"1.2.post3"']);
    expect(versionsOf(rig.installed())).toEqual([
      "ol-extra-1.2.post3",
      "ol-needs-1.0",
      "ol-plain-1.0",
      "ol-second-1.0",
    ]);
    expect(lockOf(rig, "most")).toMatch(
      /ol-needs==1\.0 .*\n(?: {4}--hash.*\n)+ {4}# requires ol-plain, ol-second\n/u,
    );
    expect(lockOf(rig, "most")).toMatch(/ol-second==1\.0 .*\n(?: {4}--hash.*\n)+ {4}# requires ol-extra\n/u);
  });

  it("are there in two versions side by side, parts of one namespace, and with their data", async () => {
    const rig = await start();
    rig.imports("one", "ol-plain==1.*\n", "ol_plain.VERSION");
    rig.imports("two", "ol-plain==2.*\n", "ol_plain.VERSION");
    rig.imports(
      "space",
      "ol-space-one\nol-space-two\n",
      "a.HERE + b.HERE",
      "ol_space.one as a, ol_space.two as b",
    );
    rig.imports("tool", "ol-tool\n", "ol_tool.DATA", "ol_tool");
    expect(await Promise.all(["one", "two", "space", "tool"].map((name) => rig.ask(name)))).toEqual([
      [200, '"1.0"'],
      [200, '"2.0"'],
      [200, "3"],
      [200, '"data"'],
    ]);
    expect(rig.unfinished()).toEqual([]);
  });

  it("cannot be had: the author hears the tool's own reason, and next time what works", async () => {
    const rig = await start();
    let count = 0;
    const refused = async (requirements: string): Promise<string> => {
      count += 1;
      rig.imports(`bad-${count}`, requirements, "ol_plain.VERSION");
      const { status, headers, body } = await rig.call(`bad-${count}`);
      expect([status, headers["retry-after"]]).toEqual([500, undefined]);
      return body.toString();
    };
    expect(await refused("ol-plain==3\n")).toMatch(/ol-plain==3/u);
    expect(await refused("ol-plain\nol-nowhere\n")).toMatch(/ol-nowhere/u);
    expect(await refused("ol-foreign\n")).toMatch(/ol-foreign/u);
    expect(await refused("ol-source\n")).toMatch(/ol-source/u);
    expect(await refused("ol-future\n")).toMatch(/ol-future/u);
    expect(await refused("ol-plain==2.0\nol-needs\n")).toMatch(/ol-plain/u);
    expect(await refused(`ol-plain==2.0 --hash=sha256:${"0".repeat(64)}\n`)).toMatch(/hash/iu);
    expect(await refused("--index-url http://127.0.0.1/\n")).toMatch(/requirements.txt:1/u);
    expect(rig.installed()).toEqual([]);
    rig.imports("lambda", `ol-plain==2.0 --hash=sha256:${PLAIN[1]?.sha256}\n`, "ol_plain.VERSION");
    expect(await rig.ask("lambda")).toEqual([200, '"2.0"']);
  }, 300_000);
});

const lockOf = (rig: PackageRig, lambda: string): string => {
  const directory = join(rig.worker.registryDir, ".locks", lambda);
  const [name = ""] = readdirSync(directory);
  return readFileSync(join(directory, name), "utf8");
};

describe("packages of lambdas", () => {
  it("are asked of the index once for those who share them, and not at all for a lambda without", async () => {
    const rig = await PackageRig.start({ distributions: [...PLAIN, ...OTHERS] });
    rig.lambda("none", "# nothing\n", "def f(event):\n    return 1\n");
    expect(await rig.ask("none")).toEqual([200, "1"]);
    expect(rig.index.pages).toBe(0);
    expect(await rig.stats()).toMatchObject({ resolved: 0, installed: 0 });
    rig.imports("first", "ol-needs\n", "ol_plain.VERSION", "ol_plain, ol_needs");
    rig.imports("second", "ol-plain<2\nol-extra\n", "ol_plain.VERSION", "ol_plain, ol_extra");
    expect(await rig.ask("first")).toEqual([200, '"1.0"']);
    expect(await rig.ask("second")).toEqual([200, '"1.0"']);
    expect(["ol-plain", "ol-needs", "ol-extra"].map((name) => rig.index.downloadsOf(name))).toEqual([
      1, 1, 1,
    ]);
    expect(await rig.stats()).toMatchObject({ resolved: 2, installed: 3, failed: 0, providing: 0 });
  });
});
