import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { freePorts } from "../../packages/common/src/index.ts";
import { PackageIndex } from "../../packages/lambda/test/support/package-index/package-index.ts";
import { wheel } from "../../packages/lambda/test/support/package-index/wheel.ts";
import { descendantsOf } from "../../packages/sandbox/test/support/leftovers.ts";
import { type RealWorker, callOver } from "./support/real-cluster.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
// In no user database: a directory can belong to a mere number.
const UID = 61_234;
const GID = 61_235;
const COMMAND_MS = 120_000;
const GREETING = 'def f(event):\n    print("said")\n    return "hello " + event["name"]\n';

const asOwner = (...command: string[]): { status: number | null; stderr: string } =>
  spawnSync("setpriv", [`--reuid=${UID}`, `--regid=${GID}`, "--clear-groups", "--", ...command], {
    encoding: "utf8",
    timeout: COMMAND_MS,
  });

/** What /proc tells of a process, by the word in front. */
const statusOf = (pid: number): Map<string, string> =>
  new Map(
    readFileSync(`/proc/${pid}/status`, "utf8")
      .split("\n")
      .map((line) => line.split(/:\s+/u) as [string, string]),
  );

/** The project, where the owner can read it: a repository below /root is copied. */
const readableProject = (directory: string): string => {
  if (asOwner("test", "-r", path.join(ROOT, "packages/admin/bin/ol-admin.js")).status === 0) return ROOT;
  const copy = path.join(directory, "project");
  execFileSync("cp", ["-a", ROOT, copy]);
  chmodSync(copy, 0o755);
  return copy;
};

describe("a worker started by root in another user's cluster directory", () => {
  const directory = mkdtempSync(path.join(tmpdir(), "ol-owner-"));
  const cluster = path.join(directory, "c");
  const work = path.join(cluster, "workers/worker-0");
  let project = "";
  let worker: RealWorker;

  const admin = (...tokens: string[]): { code: number | null; text: string } => {
    const program = path.join(project, "packages/admin/bin/ol-admin.js");
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [program, ...tokens, `--cluster=${cluster}`],
      { encoding: "utf8", timeout: COMMAND_MS },
    );
    return { code: status, text: stdout + stderr };
  };

  const start = async (): Promise<void> => {
    const port = await freePorts(3);
    const outcome = admin("workers", `--port=${port}`);
    expect(outcome).toMatchObject({ code: 0 });
    const pid = Number(readFileSync(path.join(cluster, "logs/worker-0.pid"), "utf8").split("\n")[0]);
    worker = { pid, url: `http://127.0.0.1:${port}` };
  };

  beforeAll(async () => {
    chmodSync(directory, 0o755);
    project = readableProject(directory);
    const made = admin("new");
    if (made.code !== 0) throw new Error(made.text);
    cpSync(
      path.join(ROOT, "packages/sandbox/test/support/handlers/hello"),
      path.join(cluster, "registry/hello"),
      {
        recursive: true,
      },
    );
    execFileSync("chown", ["-R", `${UID}:${GID}`, cluster]);
    await start();
  });

  afterAll(() => {
    admin("kill", "--timeout=0");
    rmSync(directory, { recursive: true });
  });

  it("runs as that user, in his group and no other, and without any of root's rights", () => {
    for (const thread of readdirSync(`/proc/${worker.pid}/task`)) {
      const status = statusOf(Number(thread));
      expect(status.get("Uid")?.split("\t")).toEqual(Array.from({ length: 4 }, () => String(UID)));
      expect(status.get("Gid")?.split("\t")).toEqual(Array.from({ length: 4 }, () => String(GID)));
      expect(status.get("Groups")?.trim()).toBe(String(GID));
      expect(status.get("CapEff")).toMatch(/^0+$/u);
      expect(status.get("CapPrm")).toMatch(/^0+$/u);
    }
    const uids = descendantsOf(worker.pid).map((pid) => statusOf(pid).get("Uid")?.split("\t")[0]);
    // The control: the broker has them.
    expect(uids).toContain("0");
  });

  it("runs lambdas, new code included, and keeps their output where the owner can read it", async () => {
    expect(await callOver(worker, "hello", { name: "a" })).toMatchObject({ status: 200 });
    const registry = path.join(cluster, "registry/late");
    expect(asOwner("mkdir", registry).status).toBe(0);
    writeFileSync(path.join(registry, "f.py"), GREETING);
    chownSync(path.join(registry, "f.py"), UID, GID);
    expect(await callOver(worker, "late", { name: "Bob" })).toEqual({ status: 200, text: '"hello Bob"' });
    // What only root can read is no lambda for it.
    chownSync(path.join(registry, "f.py"), 0, 0);
    chmodSync(path.join(registry, "f.py"), 0o600);
    cpSync(registry, `${registry}r`, { recursive: true });
    chmodSync(path.join(`${registry}r`, "f.py"), 0o600);
    expect((await callOver(worker, "later", { name: "Bob" })).status).toBeGreaterThanOrEqual(400);
    expect(admin("kill").code).toBe(0);
    const [kept = ""] = readdirSync(path.join(cluster, "logs/lambdas/late"));
    expect(asOwner("cat", path.join(cluster, "logs/lambdas/late", kept)).status).toBe(0);
    await start();
    expect(await callOver(worker, "hello", { name: "a" })).toMatchObject({ status: 200 });
  });

  it("cannot write where the broker works, only where the code's copies lie", async () => {
    expect((await callOver(worker, "hello", { name: "a" })).status).toBe(200);
    const places = ["run", "handlers", "trash", "."];
    const written = places.filter((name) => asOwner("touch", path.join(work, name, "x")).status === 0);
    expect(written).toEqual([]);
    expect(asOwner("rm", path.join(work, "run/lock")).status).not.toBe(0);
    expect(asOwner("ls", path.join(work, "handlers")).status).not.toBe(0);
    const socket = readdirSync(path.join(work, "run")).find((name) => name.endsWith(".sock")) ?? "";
    expect(asOwner("test", "-w", path.join(work, "run", socket)).status).toBe(0);
    expect(asOwner("touch", path.join(work, "code/mine")).status).toBe(0);
  });

  it("has packages that are the owner's, as those that are installed by hand", async () => {
    const distributions = [wheel({ name: "ol_plain" }), wheel({ name: "ol_other" })];
    await using index = await PackageIndex.start(distributions);
    expect(admin("setconf", JSON.stringify({ pip_mirror: index.url })).code).toBe(0);
    expect(admin("kill").code).toBe(0);
    await start();
    const registry = path.join(cluster, "registry/plain");
    mkdirSync(registry);
    writeFileSync(
      path.join(registry, "f.py"),
      "import ol_plain\ndef f(event):\n    return ol_plain.VERSION\n",
    );
    writeFileSync(path.join(registry, "requirements.txt"), "ol-plain\n");
    expect(await callOver(worker, "plain", {})).toEqual({ status: 200, text: '"1.0"' });
    // Not synchronously: the index is served by this very process.
    const program = path.join(project, "packages/admin/bin/ol-admin.js");
    const tokens = [program, "packages", `--cluster=${cluster}`, "install", "ol-other"];
    const child = spawn(process.execPath, tokens, { stdio: "inherit", timeout: COMMAND_MS });
    expect(await once(child, "exit")).toEqual([0, null]);
    const packages = path.join(cluster, "packages");
    const [python = ""] = readdirSync(packages);
    const names = readdirSync(path.join(packages, python));
    expect(names).toHaveLength(2);
    for (const name of [".", python, ...names.map((name) => path.join(python, name))])
      expect([name, statSync(path.join(packages, name)).uid]).toEqual([name, UID]);
  });

  it("is named by doctor, ended by root, and leaves nothing", () => {
    expect(admin("doctor").text).toContain(`becomes ${UID}`);
    expect(admin("setconf", '{"worker_user": "nobody-knows-him"}').code).toBe(0);
    const refused = admin("workers", "--restart");
    expect(refused.code).toBe(1);
    expect(refused.text).toContain('worker_user is "nobody-knows-him", and there is no such user');
    expect(admin("kill").code).toBe(0);
    expect(existsSync(`/proc/${worker.pid}`)).toBe(false);
    expect(readdirSync(path.join(work, "handlers"))).toEqual([]);
    expect(readdirSync(path.join(work, "run"))).toEqual(["lock"]);
  });
});
