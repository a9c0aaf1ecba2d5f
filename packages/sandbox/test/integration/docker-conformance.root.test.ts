import { afterAll, beforeAll, describe, expect, it } from "vitest";

import {
  CONFORMANCE_CASES,
  CONFORMANCE_HTTP_CASES,
  CONFORMANCE_PACKAGES_DIR,
  runConformanceCase,
} from "../../src/testing/index.ts";
import { DAEMONS } from "../support/docker-daemon.ts";
import { DockerPlace } from "../support/docker-place.ts";
import { SLOWNESS, scaled } from "../support/scale.ts";

// A container takes far longer than a fork.
const TIMES_SLOWER = scaled(6, 12) * SLOWNESS;
const MAKE_MS = 120_000;
const CASE_MS = 60_000 * TIMES_SLOWER;

/** Makes containers by the dozen, which takes a minute: for soaks. */
const MANY = /^(?:has fifty|stands )/u;
const ALL = [...CONFORMANCE_CASES, ...CONFORMANCE_HTTP_CASES];
// Podman takes longer, and speaks the same: a soak asks it everything.
const casesFor = (kind: string): typeof ALL =>
  scaled(
    ALL.filter(({ title }, at) => !MANY.test(title) && at % (kind === "docker" ? 8 : 30) === 0),
    ALL,
  );

let place: DockerPlace;

const makeEngine = () => place.engine({ packagesDir: CONFORMANCE_PACKAGES_DIR });

describe.each(DAEMONS)("the docker engine on %s", (kind) => {
  beforeAll(async () => {
    place = await DockerPlace.make(kind);
  }, MAKE_MS);

  afterAll(() => place[Symbol.asyncDispose](), MAKE_MS);

  it.each(casesFor(kind))(
    "$title",
    async (each) => {
      await expect(runConformanceCase(each, makeEngine, TIMES_SLOWER)).resolves.toBeUndefined();
    },
    CASE_MS,
  );
});
