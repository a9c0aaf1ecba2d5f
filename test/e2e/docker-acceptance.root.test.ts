import { afterAll } from "vitest";

import { scaled } from "../../packages/sandbox/test/support/scale.ts";
import { describeAcceptance } from "./support/acceptance.ts";
import { DockerCluster } from "./support/docker-cluster.ts";

const cluster = new DockerCluster("docker");
afterAll(() => cluster[Symbol.asyncDispose]());

describeAcceptance("docker", {
  config: () => cluster.config(),
  many: [
    [scaled(4, 10), 1],
    [scaled(4, 100), 10],
  ],
  loads: scaled([2], [1, 2, 8]),
  loadMs: scaled(1_000, 15_000),
  updateMs: 10_000,
});
