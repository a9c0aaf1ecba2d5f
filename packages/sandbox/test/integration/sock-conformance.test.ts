import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { afterAll, beforeAll, describe, it } from "vitest";

import { SockEngine } from "../../src/sock/engine.ts";
import {
  CONFORMANCE_HANDLERS_DIR,
  CONFORMANCE_PACKAGES_DIR,
  describeEngineConformance,
} from "../../src/testing/index.ts";
import { SLOWNESS } from "../support/scale.ts";

let workDir: string;

beforeAll(async () => {
  workDir = await mkdtemp(path.join(tmpdir(), "ol-conformance-"));
});

afterAll(async () => {
  await rm(workDir, { recursive: true });
});

const makeEngine = (): Promise<SockEngine> =>
  SockEngine.create({
    // Two runs of this suite on one machine must not share their groups.
    clusterId: path
      .basename(workDir)
      .toLowerCase()
      .replaceAll(/[^a-z0-9]/g, "")
      .slice(-8),
    workerName: "worker-0",
    workDir: path.join(workDir, "worker-0"),
    codeDir: CONFORMANCE_HANDLERS_DIR,
    packagesDir: CONFORMANCE_PACKAGES_DIR,
    networks: ["none"],
    ...(process.env["OL_TEST_SCRATCH"] === "memory" && { scratch: "memory" as const }),
  });

describeEngineConformance(
  "sock",
  makeEngine,
  { describe, it },
  { zygotes: true, http: true, slowness: SLOWNESS },
);
