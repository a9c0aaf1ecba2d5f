import { afterAll } from "vitest";

import { scaled } from "../../packages/sandbox/test/support/scale.ts";
import { DockerCluster } from "./support/docker-cluster.ts";
import { describeWorkerHttp } from "./support/worker-http.ts";

const cluster = new DockerCluster("docker");
afterAll(() => cluster[Symbol.asyncDispose]());

// What differs between clients is no engine's doing.
describeWorkerHttp("docker", scaled(["undici"], ["raw", "agent", "undici", "curl"]), () => cluster.config());
