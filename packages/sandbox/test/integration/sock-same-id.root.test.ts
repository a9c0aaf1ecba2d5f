import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { expect, it, onTestFinished } from "vitest";

import { SockEngine } from "../../src/index.ts";

const CLUSTER = `same${process.pid.toString(36)}`;

const engine = async (): Promise<SockEngine> => {
  const directory = await mkdtemp(path.join(tmpdir(), "ol-same-id-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const workDir = path.join(directory, "work");
  const codeDir = path.join(directory, "code");
  return SockEngine.create({ clusterId: CLUSTER, workerName: "worker-0", workDir, codeDir, networks: [] });
};

it("two engines with one cluster id do not take each other's sandboxes for leftovers", async () => {
  const first = await engine();
  try {
    await expect(engine()).rejects.toMatchObject({ code: "OL_SANDBOX_DIRECTORY_IN_USE" });
  } finally {
    await first.close();
  }
  const second = await engine();
  await second.close();
  expect(second.stats().sandboxes).toBe(0);
});
