import { afterAll, beforeAll, describe, it } from "vitest";

import { CONFORMANCE_PACKAGES_DIR, describeEngineConformance } from "../../src/testing/index.ts";
import { DockerPlace } from "../support/docker-place.ts";
import { SLOWNESS } from "../support/scale.ts";

// A container takes a hundred times as long as a fork.
const TIMES_SLOWER = 6;

let place: DockerPlace;

beforeAll(async () => {
  place = await DockerPlace.make("docker");
}, 120_000);

afterAll(() => place[Symbol.asyncDispose](), 120_000);

describeEngineConformance(
  "docker",
  () => place.engine({ packagesDir: CONFORMANCE_PACKAGES_DIR }),
  { describe, it },
  { http: true, slowness: SLOWNESS * TIMES_SLOWER },
);
