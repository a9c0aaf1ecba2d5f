import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { beforeEach, describe, expect, test } from "vitest";

import { loadWorkerConfig, problemsIn, redact, type WorkerConfig } from "../../src/index.ts";
import { temporaryDirectory } from "./temporary.ts";

const KEYS = { registry_access_key: "reader", registry_secret_key: "reader-secret" };

let cluster: string;
let file: string;

beforeEach(() => {
  cluster = temporaryDirectory();
  mkdirSync(join(cluster, "config"));
  file = join(cluster, "config", "worker-0.json");
  writeFileSync(join(cluster, "config", "cluster.json"), JSON.stringify({ id: "abcd1234" }));
});

const load = (value: unknown): Promise<WorkerConfig> => {
  writeFileSync(file, JSON.stringify(value));
  return loadWorkerConfig(file);
};

describe("where a worker's code comes from", () => {
  test("is the cluster's own directory if nothing is said", async () => {
    const config = await load({});
    expect(config).toMatchObject({
      registryDir: join(cluster, "registry"),
      bundlesDir: join(cluster, "code"),
      signatures: "off",
      trustedKeys: [],
      bundleLimits: { packedBytes: 100 * 1024 * 1024, unpackedBytes: 250 * 1024 * 1024, files: 10_000 },
    });
    expect(config.registryStore).toBeUndefined();
  });

  test("may be another directory by its URL", async () => {
    const config = await load({ registry: "file:///srv/my%20lambdas" });
    expect(config.registryDir).toBe("/srv/my lambdas");
    expect(config.registryStore).toBeUndefined();
  });

  test.each([
    [{ registry: "remote", registry_server: "localhost:9000" }, "http://localhost:9000", "registry"],
    [{ registry: "remote", registry_server: "https://s.example" }, "https://s.example", "registry"],
    [{ registry: "remote", registry_server: "[::1]:9000" }, "http://[::1]:9000", "registry"],
    [{ registry: "http://127.0.0.1:9000" }, "http://127.0.0.1:9000", "registry"],
    [{ registry: "https://s.example/code/" }, "https://s.example", "code"],
    [{ registry: "http://s.example", registry_bucket: "code" }, "http://s.example", "code"],
    [{ registry: "s3://code", registry_server: "s.example:9000" }, "http://s.example:9000", "code"],
    [{ registry: "s3://code" }, "https://s3.amazonaws.com", "code"],
  ])("is for %j the store %s, bucket %s", async (template, endpoint, bucket) => {
    const { registryStore } = await load({ ...KEYS, ...template });
    expect(registryStore).toEqual({
      endpoint,
      bucket,
      region: "us-east-1",
      accessKey: "reader",
      secretKey: "reader-secret",
    });
  });

  test("takes files from the cluster directory", async () => {
    const config = await load({
      ...KEYS,
      registry: "https://s.example",
      registry_ca: "config/ca.pem",
      registry_region: "eu-central-1",
      signatures: "warn",
      trusted_keys: ["keys/a.pem", "/etc/b.pem"],
    });
    expect(config.registryStore).toMatchObject({
      caFile: join(cluster, "config/ca.pem"),
      region: "eu-central-1",
    });
    expect(config.trustedKeys).toEqual([join(cluster, "keys/a.pem"), "/etc/b.pem"]);
  });

  test.each([
    [{ registry: "remote", ...KEYS }, "registry_server: is missing"],
    [{ registry: "http://s.example" }, "registry_access_key: is missing"],
    [{ registry: "s3://code", registry_access_key: "reader" }, "registry_secret_key: is missing"],
    [{ signatures: "enforce" }, "trusted_keys: is missing"],
  ])("of %j is refused, since something else has to be said", async (template, words) => {
    await expect(load(template)).rejects.toMatchObject({
      code: "OL_CONFIG_INVALID",
      message: expect.stringContaining(words),
    });
  });

  test.each([
    ["registry", "ftp://s.example"],
    ["registry", "http://s.example/a/b"],
    ["registry", "http://s.example/code?versionId=1"],
    ["registry", "s3://UPPER"],
    ["registry", "s3://code/prefix"],
    ["registry", "file://relative"],
    ["registry", "remotely"],
    ["registry_server", "http://s.example/path"],
    ["registry_server", "no port:9000"],
    ["registry_bucket", "Code"],
    ["registry_secret_key", "short"],
    ["registry_secret_key", "taken-from-a-file\n"],
  ])("has no %s %j", (key, value) => {
    expect(problemsIn({ [key]: value })).toHaveLength(1);
  });

  test.each(["registry", "registry_server"])("may have no password in %s, and does not show one", (key) => {
    const [problem] = problemsIn({ [key]: "http://me:swordfish@s.example" });
    expect(problem).toContain(`${key}: must be`);
    expect(problem).not.toContain("swordfish");
  });

  test("is never logged with its keys", async () => {
    const config = await load({ ...KEYS, registry: "http://s.example" });
    const shown = JSON.stringify(redact({ template: { ...KEYS }, config }));
    expect(shown).toContain("s.example");
    expect(shown).not.toContain("reader-secret");
    expect(shown).not.toContain('"reader"');
  });
});
