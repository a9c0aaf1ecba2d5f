import { describe, expect, it } from "vitest";

import { sourcePackage } from "../../packages/lambda/test/support/package-index/source-package.ts";
import { wheel } from "../../packages/lambda/test/support/package-index/wheel.ts";
import { PackageRig } from "./support/package-rig.ts";

/** Changes whatever of other packages it can reach while it is built. */
const EVIL = `
for top in ("/host", "/tmp", "/packages", "/handler"):
    for where, _names, files in os.walk(top):
        for name in files:
            if name.startswith("ol_plain"):
                try:
                    with open(os.path.join(where, name), "w") as file:
                        file.write("VERSION = 'evil'\\n")
                except OSError:
                    continue
`;
const DISTRIBUTIONS = [
  wheel({ name: "ol_plain" }),
  sourcePackage("ol_built", EVIL),
  sourcePackage("ol_fails", 'raise SystemExit("this package cannot be built")'),
];

describe.each(["uv", "pip"])("source packages, built by %s", (tool) => {
  it("are installed where source_packages allows it, each in a sandbox that has nothing of others", async () => {
    const rig = await PackageRig.start({
      distributions: DISTRIBUTIONS,
      config: { package_tool: tool, source_packages: true },
    });
    rig.imports("both", "ol-plain\nol-built\n", "[ol_plain.VERSION, ol_built.VERSION]", "ol_plain, ol_built");
    expect(await rig.ask("both")).toEqual([200, '["1.0","1.0"]']);
    rig.imports("fails", "ol-fails\n", "1", "ol_fails");
    expect(await rig.ask("fails")).toEqual([500, expect.stringMatching(/this package cannot be built/u)]);
    expect(rig.installed()).toHaveLength(2);
  });

  it("are refused where nothing allows them, and nothing of them is run", async () => {
    const rig = await PackageRig.start({ distributions: DISTRIBUTIONS, config: { package_tool: tool } });
    for (const name of ["built", "fails"]) {
      rig.imports(name, `ol-${name}\n`, "1", `ol_${name}`);
      const [status, text] = await rig.ask(name);
      expect([status, text]).toEqual([500, expect.stringMatching(new RegExp(`ol-${name}`, "u"))]);
      expect(text).not.toMatch(/cannot be built/u);
    }
  });
});
