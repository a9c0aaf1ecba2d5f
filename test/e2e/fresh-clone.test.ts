import { describe, expect, it } from "vitest";

import { followTheReadme, sequence, whoRunsThis } from "./support/newcomer.ts";

describe("README.md from a fresh clone", () => {
  it("names the commands that users of OpenLambda know", () => {
    expect(sequence()).toEqual([
      "npx ol-admin new -cluster my-cluster",
      "npx ol-admin workers -cluster=my-cluster",
      "npx ol-admin status -cluster=my-cluster",
      "cp -r ./quickstart/handlers/hello ./my-cluster/registry/hello",
      `curl -X POST localhost:8080/runLambda/hello -d '{"name": "Alice"}'`,
      "npx ol-admin kill -cluster=my-cluster",
      "rm -r my-cluster",
    ]);
  });

  it("works for whoever runs this, word for word", { timeout: 480_000 }, async () => {
    const { script, example, byHand } = followTheReadme(await whoRunsThis());
    expect(script).toMatch(/"Hello, Alice!"[^]*exit 0$/);
    expect(example).toMatch(/^requests +\d+ ms +\d+ ms$[^]*Stopping everything[^]*exit 0$/mu);
    expect(byHand).toMatch(
      /http:\/\/localhost:8080\/status => ready \[200 OK\][^]*"Hello, Alice!"[^]*exit 0$/,
    );
  });
});
