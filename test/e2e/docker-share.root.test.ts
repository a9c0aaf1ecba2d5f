import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, readFileSync } from "node:fs";
import path from "node:path";

import { afterAll, expect, it, onTestFinished } from "vitest";

import { startWorkerProcess } from "../../packages/worker/test/http/worker-process.ts";
import { DockerCluster } from "./support/docker-cluster.ts";

const CALLS = 4;

const cluster = new DockerCluster("docker");
afterAll(() => cluster[Symbol.asyncDispose]());

interface Container {
  readonly Labels: Readonly<Record<string, string>>;
}

/** Lets others enter the directory of the configuration, which is the last argument. */
const OPEN_TO_ALL = ["sh", "-c", 'for last; do :; done; chmod 755 "${last%/*}"; exec "$@"', "sh"];

it("a worker that is no longer root answers calls at once from sandboxes of one container each lambda", async () => {
  const { daemon } = await cluster.place();
  chownSync(daemon.socket, 0, 2_375);
  chmodSync(daemon.directory, 0o755);
  const { docker, ...rest } = await cluster.config();
  const config = {
    ...rest,
    docker: { ...(docker as object), prepared: 0, share: "lambda" },
    worker_user: "nobody",
  };
  const worker = await startWorkerProcess(config, undefined, { wrapper: OPEN_TO_ALL });
  onTestFinished(() => worker.close());
  expect(/^Uid:\s+(\d+)/mu.exec(readFileSync(`/proc/${worker.pid}/status`, "utf8"))?.[1]).not.toBe("0");
  for (const name of ["nap", "hello"]) {
    mkdirSync(path.join(worker.registryDir, name), { recursive: true });
    const file = `packages/sandbox/test/support/handlers/${name}/f.py`;
    execFileSync("cp", [file, path.join(worker.registryDir, name)]);
  }
  const call = async (name: string, event: unknown): Promise<string> => {
    const url = `http://127.0.0.1:${worker.port}/run/${name}`;
    const reply = await fetch(url, { method: "POST", body: JSON.stringify(event) });
    return `${reply.status} ${await reply.text()}`;
  };
  const naps = await Promise.all(Array.from({ length: CALLS }, () => call("nap", 1)));
  expect(new Set(naps)).toEqual(new Set(['200 "slept"']));
  expect(await call("hello", { name: "Alice" })).toMatch(/^200 .*Alice/u);
  const list = execFileSync(
    "curl",
    ["-s", "--unix-socket", daemon.socket, "http://d/containers/json?all=1"],
    { encoding: "utf8" },
  );
  const lambdas = (JSON.parse(list) as Container[]).map(({ Labels }) => Labels["openlambda.lambda"]);
  expect(lambdas).toHaveLength(2);
  expect(new Set(lambdas)).toEqual(new Set(["hello", "nap"]));
  expect(worker.log()).toContain("sandboxes of one lambda share a container (docker.share)");
});
