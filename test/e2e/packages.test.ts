import { describe, expect, it } from "vitest";

import { wheel } from "../../packages/lambda/test/support/package-index/wheel.ts";
import { PackageRig } from "./support/package-rig.ts";

describe("packages of lambdas", () => {
  it("are installed with what they need", async () => {
    const rig = await PackageRig.start({
      distributions: [wheel({ name: "ol_plain" }), wheel({ name: "ol_needs", requires: ["ol_plain>=1"] })],
    });
    rig.imports("needs", "ol-needs\n", "ol_plain.VERSION", "ol_plain, ol_needs");
    const first = performance.now();
    console.log(await rig.ask("needs"), performance.now() - first);
    console.log(rig.installed(), rig.unfinished());
    console.log(rig.worker.log());
  });
});
