import { afterAll, beforeAll, describe } from "vitest";

import { CONFORMANCE_PACKAGES_DIR } from "../../src/testing/index.ts";
import { registerConformance } from "../support/docker-conformance.ts";
import { DAEMONS } from "../support/docker-daemon.ts";
import { DockerPlace, MAKE_MS } from "../support/docker-place.ts";

/** Makes containers by the dozen, which takes a minute: for soaks. */
const MANY = /^(?:has fifty|stands )/u;

let place: DockerPlace;

describe.each(DAEMONS)("the docker engine on %s", (kind) => {
  // Podman takes longer, and speaks the same: a soak asks it everything.
  const each = kind === "docker" ? 8 : 30;

  beforeAll(async () => {
    place = await DockerPlace.make(kind);
  }, MAKE_MS);

  afterAll(() => place[Symbol.asyncDispose](), MAKE_MS);

  registerConformance(
    () => place.engine({ packagesDir: CONFORMANCE_PACKAGES_DIR }),
    ({ title }, at) => !MANY.test(title) && at % each === 0,
  );
});
