import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, readFileSync, statSync } from "node:fs";
import path from "node:path";

import { afterAll, expect, it, onTestFinished } from "vitest";

import { freePorts } from "../../packages/common/src/index.ts";
import { wheel } from "../../packages/lambda/test/support/package-index/wheel.ts";
import { eventually } from "../../packages/sandbox/test/support/cluster.ts";
import { startWorkerProcess } from "../../packages/worker/test/http/worker-process.ts";
import { DockerCluster } from "./support/docker-cluster.ts";
import { PackageRig } from "./support/package-rig.ts";
import { callOver, RealCluster } from "./support/real-cluster.ts";

const cluster = new DockerCluster("docker");
afterAll(() => cluster[Symbol.asyncDispose]());

/** Containers that the daemon has. */
const containers = async (): Promise<number> => {
  const { daemon } = await cluster.place();
  const url = "http://d/containers/json?all=1";
  const list = execFileSync("curl", ["-s", "--unix-socket", daemon.socket, url], { encoding: "utf8" });
  return (JSON.parse(list) as unknown[]).length;
};

/** Lets others enter the directory of the configuration, which is the last argument. */
const OPEN_TO_ALL = ["sh", "-c", 'for last; do :; done; chmod 755 "${last%/*}"; exec "$@"', "sh"];

const prepare = async (): Promise<RealCluster> => {
  const real = await RealCluster.create({ name: "root", wrapper: [] });
  const config = {
    ...(await cluster.config()),
    docker: { host: (await cluster.place()).daemon.host, prepared: 1 },
  };
  const set = await real.admin("setconf", JSON.stringify(config));
  expect(set).toMatchObject({ code: 0 });
  return real;
};

it("ol-admin's commands work with the engine docker: doctor, workers, status, kill, and gc after a crash", async () => {
  const real = await prepare();
  const doctor = await real.admin("doctor");
  expect(doctor.text).toMatch(/container daemon\s+Docker .* at unix:/u);
  expect(doctor.text).toMatch(/ok\s+image\s+localhost\/openlambda-base:\w+, Python 3/u);
  expect(doctor.text).toMatch(/ok\s+sandbox\s+one was made, and answered/u);
  const [worker] = await real.start(1, await freePorts());
  if (worker === undefined) throw new Error("there is no worker");
  expect(await callOver(worker, "hello", { name: "Alice" })).toMatchObject({ status: 200 });
  const status = await real.admin("status");
  expect(status).toMatchObject({ code: 0 });
  expect(status.text).toMatch(/Cluster containers:\n\s+docker\s+\S+\s+hello/u);
  process.kill(worker.pid, "SIGKILL");
  expect(await containers()).toBeGreaterThan(0);
  await eventually(() => !existsSync(`/proc/${worker.pid}`));
  expect(await real.admin("gc")).toMatchObject({ code: 0 });
  expect(await containers()).toBe(0);
  const [again] = await real.start(1, await freePorts());
  if (again === undefined) throw new Error("there is no worker");
  expect(await callOver(again, "hello", { name: "Alice" })).toMatchObject({ status: 200 });
  expect(await real.admin("kill")).toMatchObject({ code: 0 });
  expect(await containers()).toBe(0);
  expect(real.leftovers()).toEqual([]);
});

it("a worker that root starts becomes another user, and keeps the socket's group and nothing else", async () => {
  const { daemon } = await cluster.place();
  const before = statSync(daemon.socket);
  onTestFinished(() => {
    chownSync(daemon.socket, before.uid, before.gid);
    chmodSync(daemon.directory, 0o700);
  });
  // As the service of a distribution has it.
  chownSync(daemon.socket, 0, 2_375);
  chmodSync(daemon.directory, 0o755);
  const config = { ...(await cluster.config()), worker_user: "nobody" };
  const worker = await startWorkerProcess(config, undefined, { wrapper: OPEN_TO_ALL });
  onTestFinished(() => worker.close());
  const ids = readFileSync(`/proc/${worker.pid}/status`, "utf8");
  expect(/^Uid:\s+(\d+)/mu.exec(ids)?.[1]).not.toBe("0");
  expect(/^Groups:\s+(.*?)\s*$/mu.exec(ids)?.[1]?.split(" ")).toContain("2375");
  const registry = path.join(worker.registryDir, "hello");
  execFileSync("mkdir", ["-p", registry]);
  execFileSync("cp", ["packages/sandbox/test/support/handlers/hello/f.py", registry]);
  const url = `http://127.0.0.1:${worker.port}/run/hello`;
  const call = () => fetch(url, { method: "POST", body: '{"name": "Alice"}' });
  expect((await call()).status).toBe(200);
  // What the porter does for it: without it the worker ends, to be started again.
  const children = execFileSync("ps", ["-o", "pid=", "--ppid", String(worker.pid)], { encoding: "utf8" });
  process.kill(Number(children.trim().split(/\s+/u)[0]), "SIGKILL");
  expect(await worker.exited).toBe(1);
  expect(worker.log()).toContain("the sandbox engine was lost");
  expect(await containers()).toBe(0);
});

it("a lambda's packages are installed in containers, for the image's Python, and seen read-only", async () => {
  const distributions = [wheel({ name: "ol_plain" }), wheel({ name: "ol_needs", requires: ["ol-plain"] })];
  const rig = await PackageRig.start({ distributions, config: await cluster.config() });
  rig.imports("needs", "ol-needs\n", "ol_plain.VERSION", "ol_needs, ol_plain");
  expect(await rig.ask("needs")).toEqual([200, '"1.0"']);
  expect(rig.installed().map((name) => name.replace(/-[0-9a-f]{12}$/u, ""))).toEqual([
    "ol-needs-1.0",
    "ol-plain-1.0",
  ]);
  rig.lambda("write", "ol-plain\n", "def f(event):\n    open('/packages/mine', 'w')\n");
  const [status, text] = await rig.ask("write");
  expect([status, text.trim().split("\n").at(-1)]).toEqual([
    500,
    expect.stringContaining("Read-only file system") as string,
  ]);
});
