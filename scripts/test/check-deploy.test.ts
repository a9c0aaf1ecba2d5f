import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

import { checkCompose, checkManifests } from "../check-deploy.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const COMPOSE = readFileSync(join(ROOT, "deploy/compose.yaml"), "utf8");
const MANIFESTS = readdirSync(join(ROOT, "deploy/kubernetes")).map((file) => ({
  file,
  text: readFileSync(join(ROOT, "deploy/kubernetes", file), "utf8"),
}));

/** What is said of our files with `before` replaced by `after` everywhere. */
const composeWith = (before: string, after: string): Promise<string[]> => {
  expect(COMPOSE).toContain(before);
  return checkCompose(COMPOSE.replaceAll(before, after), ROOT);
};
const manifestsWith = (before: string, after: string): Promise<string[]> => {
  expect(MANIFESTS.some(({ text }) => text.includes(before))).toBe(true);
  const changed = MANIFESTS.map(({ file, text }) => ({ file, text: text.replaceAll(before, after) }));
  return checkManifests(changed, ROOT);
};

describe("what deploy/ says", () => {
  it("is what the programs know", async () => {
    expect(await checkCompose(COMPOSE, ROOT)).toEqual([]);
    expect(await checkManifests(MANIFESTS, ROOT)).toEqual([]);
  });

  it.each([
    ["OL_WORKERS_DNS", "OL_WORKER_DNS", /balancer: OL_WORKER_DNS is no variable of ol-balancer/u],
    ["http://worker:8080", "worker", /OL_WORKERS_DNS/u],
    [":7079:7079", ":7079:7080", /balancer: port .* is not the image's, 7079/u],
    ["- code:/data", "- codes:/data", /there is no codes/u],
    ["apps/worker/Dockerfile", "apps/workers/Dockerfile", /there is no apps\/workers\/Dockerfile/u],
  ])("in compose.yaml is refused with %j as %j", async (before, after, problem) => {
    expect((await composeWith(before, after)).join("\n")).toMatch(problem);
  });

  it.each([
    ["OL_WORKERS_DNS", "OL_WORKER_DNS", /Deployment ol-balancer: OL_WORKER_DNS is no variable/u],
    ["http://ol-workers:8080", "ol-workers", /OL_WORKERS_DNS/u],
    ["containerPort: 8080", "containerPort: 8081", /nobody listens on 8080/u],
    [
      "  selector:\n    app: ol-worker",
      "  selector:\n    app: worker",
      /Service ol-workers: it selects nothing/u,
    ],
    [
      "- name: scratch\n          emptyDir",
      "- name: other\n          emptyDir",
      /there is no volume scratch/u,
    ],
    ["kind: DaemonSet", "kind: DaemonSets", /apps\/v1 has no such kind/u],
  ])("in the manifests is refused with %j as %j", async (before, after, problem) => {
    expect((await manifestsWith(before, after)).join("\n")).toMatch(problem);
  });
});
