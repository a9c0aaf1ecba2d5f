import { afterAll } from "vitest";

import { scaled } from "../../packages/sandbox/test/support/scale.ts";
import { describeAcceptance } from "./support/acceptance.ts";
import { localCode, RemoteCode } from "./support/code-home.ts";
import { DockerCluster, SHARE } from "./support/docker-cluster.ts";
import { describeWorkerHttp } from "./support/worker-http.ts";

// scripts/test-all.sh goes through all of them; alone it is the one that has everything in it that is ours.
const combination = process.env["OL_TEST_COMBINATION"] ?? "sock auto remote";
const [engine, importCache, registry] = combination.split(" ");

const CACHES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  off: { import_cache: "off" },
  tree: { import_cache: "tree", import_cache_tree: { packages: [], children: [] } },
  auto: { import_cache: "auto" },
};
const cache = CACHES[importCache ?? ""];
if (cache === undefined || !/^(?:sock|docker) \w+ (?:local|remote)$/u.test(combination))
  throw new Error(`OL_TEST_COMBINATION: ${combination} is none, such as "docker tree local"`);

const home = registry === "remote" ? new RemoteCode() : localCode;
const docker = engine === "docker" ? new DockerCluster("docker") : undefined;
afterAll(async () => {
  await docker?.[Symbol.asyncDispose]();
  await home[Symbol.asyncDispose]();
});

const config = async (): Promise<Readonly<Record<string, unknown>>> => ({
  ...(await docker?.config()),
  ...cache,
});

describeWorkerHttp(combination, scaled(["undici"], ["raw", "agent", "undici", "curl"]), config, home);
describeAcceptance(combination, {
  config,
  code: home,
  many: scaled([[10, 1]], [[10, 1] as const, [40, 10] as const]),
  loads: scaled([2], [1, 2, 8]),
  loadMs: scaled(1_000, 15_000),
  updateMs: docker === undefined ? 1_000 : 10_000,
  ...(docker !== undefined && {
    // Containers' own, which are the daemon's, in the namespace of the tests.
    mountsBelow: async () => (await docker.place()).daemon.directory,
    // What the zygote of a shared container leaves (docs/docker.md).
    ...(SHARE === "lambda" && { commonMb: 24 }),
  }),
});
