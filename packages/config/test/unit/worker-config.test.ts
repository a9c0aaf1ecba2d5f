import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { beforeEach, describe, expect, test } from "vitest";

import {
  type Environment,
  type WorkerConfig,
  defaultMemPoolMb,
  derivedClusterId,
  loadWorkerConfig,
  newClusterId,
} from "../../src/index.ts";
import { temporaryDirectory } from "./temporary.ts";

let cluster: string;
let file: string;

beforeEach(() => {
  cluster = join(temporaryDirectory(), "my-cluster");
  mkdirSync(join(cluster, "config"), { recursive: true });
  writeFileSync(
    join(cluster, "config", "cluster.json"),
    '{"id": "abcd1234", "token": "t", "plan": {"workers": 2}}',
  );
  file = join(cluster, "config", "worker-3.json");
});

const load = (value: unknown, environment: Environment = {}): Promise<WorkerConfig> => {
  writeFileSync(file, JSON.stringify(value));
  return loadWorkerConfig(file, environment);
};

describe("a worker's configuration", () => {
  test("of an empty file in a cluster is all defaults", async () => {
    expect(await load({})).toMatchObject({
      clusterDir: cluster,
      clusterId: "abcd1234",
      clusterName: "my-cluster",
      workerName: "worker-3",
      workerDir: join(cluster, "workers", "worker-3"),
      registryDir: join(cluster, "registry"),
      lambdaLogDir: join(cluster, "logs", "lambdas"),
      addresses: ["127.0.0.1", "::1"],
      workerPort: 8080,
      queueTimeoutMs: 10_000,
      sandbox: "sock",
      network: "host",
      registryCacheMs: 5000,
      eviction: "default",
      limits: {
        procs: 10,
        memoryMb: 50,
        cpuPercent: 100,
        swappiness: 0,
        runtimeSec: 30,
        bodyMb: 6,
        logMb: 8,
      },
      enableSeccomp: true,
      scratch: "directory",
      trustedProxies: [],
      logOutput: "",
      warnings: [],
    });
  });

  test.each([
    ["", "directory"],
    ["memory", "memory"],
  ])("with storage.scratch %j has sandboxes write to a %s", async (written, scratch) => {
    expect(await load({ storage: { scratch: written } })).toMatchObject({ scratch });
  });

  test("has sandboxes see the cluster's base as soon as there is anything in it", async () => {
    expect(await load({})).not.toHaveProperty("basePath");
    mkdirSync(join(cluster, "base"));
    expect(await load({})).not.toHaveProperty("basePath");
    mkdirSync(join(cluster, "base/usr"));
    expect(await load({})).toMatchObject({ basePath: join(cluster, "base") });
    expect(await load({ sock_base_path: "other" })).toMatchObject({ basePath: join(cluster, "other") });
    expect(await load({ sock_base_path: "/srv/base" })).toMatchObject({ basePath: "/srv/base" });
  });

  test("takes relative paths from the cluster directory and absolute ones as they are", async () => {
    const config = await load({
      worker_dir: "w/one",
      registry_dir: "/srv/lambdas",
      log_output: "logs/w.log",
    });
    expect(config.workerDir).toBe(join(cluster, "w", "one"));
    expect(config.workerName).toBe("one");
    expect(config.registryDir).toBe("/srv/lambdas");
    expect(config.logOutput).toBe(join(cluster, "logs", "w.log"));
  });

  test("outside of a cluster begins at the file and has an id that is always the same", async () => {
    const alone = join(temporaryDirectory(), "worker.json");
    writeFileSync(alone, "{}");
    const config = await loadWorkerConfig(alone);
    expect(config.clusterDir).toBeUndefined();
    expect(config.workerDir).toBe(alone.replace("worker.json", "workers/worker"));
    expect(config.clusterId).toMatch(/^[a-z0-9]{8}$/u);
    expect((await loadWorkerConfig(alone)).clusterId).toBe(config.clusterId);
    expect(derivedClusterId("/other")).not.toBe(config.clusterId);
  });

  test("lets the environment win over the file", async () => {
    const config = await load(
      { worker_port: 8080, limits: { procs: 3, mem_mb: 64 } },
      {
        OL_WORKER_PORT: "9001",
        OL_LIMITS_PROCS: "20",
        OL_LIMITS: '{"runtime_sec": 2}',
        OL_TRUSTED_PROXIES: "10.0.0.1, 10.1.0.0/16",
        OL_FEATURES_ENABLE_SECCOMP: "true",
        OL_CLUSTER_NAME: "other",
        OL_CLUSTER: "/not/a/key",
        OL_READY_FD: "3",
        HOME: "/x",
      },
    );
    expect(config.workerPort).toBe(9001);
    expect(config.limits).toMatchObject({ procs: 20, memoryMb: 64, runtimeSec: 2 });
    expect(config.trustedProxies).toEqual(["10.0.0.1", "10.1.0.0/16"]);
    expect(config.clusterName).toBe("other");
  });

  test.each<[Environment, RegExp]>([
    [{ OL_WORKER_SLOTS: "many" }, /^OL_WORKER_SLOTS: worker_slots: must be a whole number .*not "many"$/u],
    [{ OL_WORKER_SLOTS: "" }, /^OL_WORKER_SLOTS: /u],
    [{ OL_SANDBOX: "podman" }, /^OL_SANDBOX: sandbox: must be "sock" or "docker", not "podman"$/u],
    [
      { OL_PIP_MIRROR: "x:word@y" },
      /^OL_PIP_MIRROR: pip_mirror: must be an http:\/\/ or https:\/\/ URL, not what is there$/u,
    ],
    [{ OL_LIMITS: "{" }, /^OL_LIMITS: limits: must be an object/u],
    [{ OL_LIMITS: '{"mem": 3}' }, /^OL_LIMITS: limits\.mem: is not a known key/u],
  ])("names the variable that is wrong: %j", async (environment, message) => {
    await expect(load({}, environment)).rejects.toThrow(message);
  });

  test("warns when others can reach the worker and when the filter is off", async () => {
    const config = await load({ worker_url: "0.0.0.0", features: { enable_seccomp: false } });
    expect(config.addresses).toEqual(["0.0.0.0"]);
    expect(config.warnings).toHaveLength(2);
    expect(config.warnings[0]).toContain("not authenticated");
    expect(config.warnings[1]).toContain("enable_seccomp");
    for (const loopback of ["LOCALHOST", "127.0.0.1", "[::1]", "::1"])
      expect((await load({ worker_url: loopback })).warnings).toEqual([]);
  });

  test("of the engine docker has no zygotes and no scratch in memory, and says so if they are wanted", async () => {
    const plain = await load({ sandbox: "docker", docker: { cert_path: "certs", base_image: "python:3" } });
    expect(plain).toMatchObject({
      sandbox: "docker",
      importCache: "off",
      warnings: [],
      docker: {
        certPath: join(cluster, "certs"),
        baseImage: "python:3",
        python: "python3",
        network: "host",
        prepared: 2,
        share: "off",
      },
    });
    const wanted = { sandbox: "docker", import_cache: "auto", storage: { scratch: "memory" } };
    const { importCache, warnings } = await load(wanted);
    expect(importCache).toBe("off");
    expect(warnings.map((warning) => warning.split(" ")[0])).toEqual(["import_cache", "storage.scratch"]);
  });

  test("of a file that does not exist, is unreadable or wrong fails with its own code", async () => {
    await expect(loadWorkerConfig(file)).rejects.toMatchObject({ code: "OL_CONFIG_NOT_FOUND" });
    await expect(loadWorkerConfig(cluster)).rejects.toMatchObject({ code: "OL_CONFIG_UNREADABLE" });
    await expect(load([])).rejects.toMatchObject({ code: "OL_CONFIG_SYNTAX" });
    await expect(load({ x: 1 })).rejects.toMatchObject({ code: "OL_CONFIG_INVALID" });
  });

  test("is refused when the cluster's id was tampered with, since host names are made from it", async () => {
    writeFileSync(join(cluster, "config", "cluster.json"), '{"id": "../../x"}');
    await expect(load({})).rejects.toMatchObject({ code: "OL_CONFIG_INVALID" });
  });
});

describe("the memory pool's default", () => {
  test.each([
    [16_384, 1, 15_360],
    [16_384, 4, 3840],
    [2048, 1, 1024],
    [1024, 1, 512],
    [512, 4, 64],
    [4096, 2, 1536],
  ])("of a machine with %i MiB and %i workers is %i MiB", (total, workers, expected) => {
    expect(defaultMemPoolMb(total, workers)).toBe(expected);
  });
});

test("cluster ids are random, 8 lower-case letters and digits", () => {
  const ids = new Set(Array.from({ length: 100 }, newClusterId));
  expect(ids.size).toBe(100);
  for (const id of ids) expect(id).toMatch(/^[a-z0-9]{8}$/u);
});
