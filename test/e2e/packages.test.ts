import { describe, expect, it } from "vitest";

import { sourceArchive, wheel } from "../../packages/lambda/test/support/package-index/wheel.ts";
import { PackageRig } from "./support/package-rig.ts";

const dists = [wheel({ name: "ol_plain" }), wheel({ name: "ol_plain", version: "2.0" }), wheel({ name: "ol_needs", requires: ["ol_plain>=1"] }),
  wheel({name:"ol_native", tag: "cp311-cp311-win_amd64"}), sourceArchive("ol_source", "1.0", Buffer.from("nothing"))];

describe.each(["pip"])("probe %s", (tool) => {
  it("texts", async () => {
    const rig = await PackageRig.start({ distributions: dists, config: { package_tool: tool }});
    const t = async (name: string, requirements: string) => {
      rig.imports(name, requirements, "1");
      const since = performance.now();
      console.log(tool, name, await rig.ask(name), Math.round(performance.now()-since));
    };





    await t("h", "ol-plain==1.0 --hash=sha256:" + "0".repeat(64)+ "\n");

    rig.index.trouble = "reset"; await t("j", "ol-plain<2\n");
    rig.index.trouble = "error"; await t("k", "ol-plain<2\n");
    rig.index.trouble = "cut"; await t("l", "ol-plain<2\n");
    rig.index.trouble = "swap"; await t("m", "ol-plain<2\n");
    rig.index.trouble = undefined; await t("n", "ol-plain<2\n");
    console.log(rig.installed(), rig.unfinished());
    console.log(rig.worker.log());
  });
  it("auth", async () => {
    const rig = await PackageRig.start({ distributions: dists, credentials: "me:s3cr%40t", config: { package_tool: tool }});
    rig.imports("a", "ol-plain\n", "1");
    console.log(tool, await rig.ask("a"));
    const rig2 = await PackageRig.start({ distributions: dists, credentials: "me:s3cr%40t", config: { package_tool: tool , pip_mirror: `http://me:wr0ng@127.0.0.1:${rig.index.port}/simple/`}});
    rig2.imports("a", "ol-plain\n", "1");
    console.log(tool, await rig2.ask("a"));
  });
});
