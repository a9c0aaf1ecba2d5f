import { afterAll } from "vitest";

import { describeAcceptance } from "./support/acceptance.ts";
import { DockerCluster } from "./support/docker-cluster.ts";

// Minutes, most of which the daemon takes: for soaks (scripts/soak.sh docker).
if (process.env["OL_TEST_SOAK"] === "1") {
  const cluster = new DockerCluster("docker");
  afterAll(() => cluster[Symbol.asyncDispose]());

  describeAcceptance("docker", {
    config: () => cluster.config(),
    many: [
      [10, 1],
      [40, 10],
    ],
    loads: [1, 2, 8],
    loadMs: 15_000,
    updateMs: 10_000,
    // Containers' own, which are the daemon's, in the namespace of the tests.
    mountsBelow: async () => (await cluster.place()).daemon.directory,
  });
}
