import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { SandboxPool } from "@ol/sandbox";
import { CONFORMANCE_HANDLERS_DIR, describeEngineConformance } from "@ol/sandbox/testing";
import { describe, expect, it, onTestFinished } from "vitest";

import { ProcessEngine } from "../../examples/process-engine.ts";

const slowness = Number(process.env["OL_TEST_SLOWNESS"] ?? "1");

const engineOf = (python?: string): ProcessEngine =>
  new ProcessEngine({ codeDir: CONFORMANCE_HANDLERS_DIR, ...(python !== undefined && { python }) });

describeEngineConformance(
  "process, of the examples,",
  () => engineOf(),
  { describe, it },
  { http: true, slowness },
);

const SPEC = {
  name: "echo",
  code: "echo",
  network: "none" as const,
  environment: {},
  limits: { memoryMb: 50, swappiness: 0, procs: 10, cpuPercent: 100, logMb: 1, scratchMb: 10 },
};

describe("the engine of the examples", () => {
  it("says what it lacks, and refuses zygotes", async () => {
    await using engine = engineOf();
    await using pool = SandboxPool.create({ engine, memoryMb: 100 });
    expect(engine.enforcement).toMatchObject({ memory: "none", procs: "none", cpu: "none", scratch: "none" });
    expect(engine.enforcement.notes).toHaveLength(1);
    const zygote = pool.createZygote("z", {
      network: "none",
      packages: [],
      modules: [],
      limits: SPEC.limits,
    });
    await expect(zygote).rejects.toMatchObject({ code: "OL_SANDBOX_BAD_OPTIONS" });
    await expect(pool.acquire({ ...SPEC, zygote: "z" })).rejects.toMatchObject({
      code: "OL_SANDBOX_NO_ZYGOTE",
    });
  });

  it("says so if there is no such Python, and nothing is left of the attempt", async () => {
    const directory = await mkdtemp(join(tmpdir(), "ol-process-"));
    onTestFinished(() => rm(directory, { recursive: true }));
    await using engine = engineOf(join(directory, "python3"));
    await using pool = SandboxPool.create({ engine, memoryMb: 100 });
    await expect(pool.acquire(SPEC)).rejects.toMatchObject({
      code: "OL_SANDBOX_CREATE_FAILED",
      message: expect.stringContaining("cannot be started"),
    });
    expect(pool.stats()).toMatchObject({ sandboxes: 0, promisedMb: 0 });
    expect(engine.stats()).toMatchObject({ sandboxes: 0, created: 0 });
  });
});
