import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { CONFORMANCE_HANDLERS_DIR, CONFORMANCE_PACKAGES_DIR } from "../../src/testing/index.ts";
import { eventually } from "../support/cluster.ts";
import { CASE_MS, registerConformance } from "../support/docker-conformance.ts";
import { DAEMONS } from "../support/docker-daemon.ts";
import { MAKE_MS } from "../support/docker-place.ts";
import { poolOf, SharePlace, specOf } from "../support/docker-share.ts";

let place: SharePlace;

describe.each(DAEMONS)("the docker engine on %s whose sandboxes share containers", (kind) => {
  const each = kind === "docker" ? 8 : 30;

  beforeAll(async () => {
    place = await SharePlace.make(kind);
  }, MAKE_MS);

  afterAll(() => place[Symbol.asyncDispose](), MAKE_MS);

  // What sharing gives up is nothing that the suite asks for, and is shown in docker-share.root.test.ts.
  registerConformance(
    () => place.engine("suite", { codeDir: CONFORMANCE_HANDLERS_DIR, packagesDir: CONFORMANCE_PACKAGES_DIR }),
    (_case, at) => at % each === 4,
  );

  it(
    "lets them use as much as they could in containers of their own, and no more when one is gone",
    async () => {
      await using engine = await place.engine("limits");
      await using pool = poolOf(engine);
      const first = await pool.acquire(specOf("limits"));
      // Beside 64 MiB, 10 processes and 2 CPUs each, what the zygote may have.
      const ofOne = { memoryMb: 64 + 24, procs: 10 + 1, cpuPercent: 200 };
      expect(place.allowedTo("limits")).toEqual(ofOne);
      await pool.acquire(specOf("limits"));
      expect(place.allowedTo("limits")).toEqual({ memoryMb: 128 + 24, procs: 20 + 1, cpuPercent: 400 });
      await first.destroy();
      expect(await eventually(() => place.allowedTo("limits").memoryMb === ofOne.memoryMb)).toBe(true);
      expect(place.allowedTo("limits")).toEqual(ofOne);
    },
    CASE_MS,
  );
});
