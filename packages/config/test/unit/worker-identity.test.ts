import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, onTestFinished, test } from "vitest";

import { isMachineRoot, workerIdentity } from "../../src/worker-identity.ts";

const fileInDirectory = (): { directory: string; file: string } => {
  const directory = mkdtempSync(join(tmpdir(), "ol-identity-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return { directory, file: join(directory, "worker-0.json") };
};

describe("whom a worker becomes", () => {
  test("is the user that worker_user names, by name or number", async () => {
    const { file } = fileInDirectory();
    const root = { name: "root", uid: 0, gid: 0 };
    expect(await workerIdentity({ file, workerUser: "root" })).toEqual(root);
    expect(await workerIdentity({ file, workerUser: "0" })).toEqual(root);
    expect(await workerIdentity({ file, workerUser: "daemon" })).toMatchObject({ name: "daemon" });
  });

  test("is the cluster directory's owner, who may be a number without a name", async () => {
    const { directory, file } = fileInDirectory();
    const { uid, gid } = statSync(directory);
    expect(await workerIdentity({ file })).toMatchObject({ uid, gid });
    // The file's directory counts only where there is no cluster.
    expect(await workerIdentity({ file, clusterDir: "/" })).toMatchObject({ uid: 0, gid: 0 });
  });

  test("is refused if nobody has the name", async () => {
    const { file } = fileInDirectory();
    await expect(workerIdentity({ file, workerUser: "nobody-knows-him" })).rejects.toMatchObject({
      code: "OL_CONFIG_WORKER_USER",
      message: expect.stringContaining("there is no such user") as string,
    });
  });

  test("is root of the machine only with every id", () => {
    expect(isMachineRoot(0, "         0          0 4294967295\n")).toBe(true);
    expect(isMachineRoot(1000, "         0          0 4294967295\n")).toBe(false);
    expect(isMachineRoot(0, "         0       1000          1\n")).toBe(false);
    expect(isMachineRoot(0, "         0          0          1\n         1     100000      65536\n")).toBe(
      false,
    );
  });
});
