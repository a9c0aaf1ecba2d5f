import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { loadRegistryConfig, redact } from "../../src/index.ts";
import { temporaryDirectory } from "./temporary.ts";

const KEYS = [{ access_key: "admin", secret_key: "very-secret", role: "admin" }];

/** Writes registry.json, for its owner's eyes only, and reads it. */
const load = async (
  directory: string,
  values: unknown,
  environment = {},
): ReturnType<typeof loadRegistryConfig> => {
  const file = join(directory, "registry.json");
  await writeFile(file, JSON.stringify(values), { mode: 0o600 });
  await chmod(file, 0o600);
  return loadRegistryConfig(file, environment);
};

const problem = (directory: string, values: unknown, environment = {}): Promise<unknown> =>
  load(directory, values, environment).then(
    () => "accepted",
    (error: unknown) => error,
  );

describe("a registry's configuration", () => {
  test("needs nothing but keys", async () => {
    const directory = temporaryDirectory();
    expect(await load(directory, { registry_keys: KEYS })).toEqual({
      file: join(directory, "registry.json"),
      dataDir: join(directory, "registry-data"),
      url: "localhost",
      addresses: ["127.0.0.1", "::1"],
      port: 9000,
      keys: [{ accessKey: "admin", secretKey: "very-secret", role: "admin" }],
      region: "us-east-1",
      bucket: "registry",
      limits: { objectMb: 5120, idleSec: 60 },
      scrubHours: 168,
      pages: "loopback",
      logOutput: "",
      warnings: [],
    });
  });

  test("in a cluster puts its data into the cluster directory", async () => {
    const directory = temporaryDirectory();
    const config = join(directory, "config");
    await mkdir(config);
    await writeFile(
      join(config, "cluster.json"),
      JSON.stringify({ id: "abcd1234", token: "", plan: { workers: 1 } }),
    );
    expect((await load(config, { registry_keys: KEYS })).dataDir).toBe(join(directory, "registry-data"));
  });

  test("is overruled by the environment, which can have the keys as well", async () => {
    const directory = temporaryDirectory();
    const environment = {
      OL_REGISTRY_PORT: "1234",
      OL_REGISTRY_KEYS: JSON.stringify(KEYS),
      OL_REGISTRY_LIMITS_IDLE_SEC: "5",
    };
    const config = await load(directory, { registry_port: 1 }, environment);
    expect([config.port, config.keys.length, config.limits.idleSec]).toEqual([1234, 1, 5]);
  });

  test.each([
    [{}, "registry_keys: is missing"],
    [{ registry_keys: [] }, "registry_keys: must be a list of at least one object"],
    [
      { registry_keys: [{ ...KEYS[0], role: "root" }] },
      'registry_keys.0.role: must be "admin", "upload" or "read"',
    ],
    [
      { registry_keys: [{ ...KEYS[0], access_key: "ab" }] },
      "registry_keys.0.access_key: must be 3 to 128 characters",
    ],
    [
      { registry_keys: [{ ...KEYS[0], secret_key: "secret!" }] },
      "registry_keys.0.secret_key: must be 8 to 1024 characters",
    ],
    [
      { registry_keys: [{ ...KEYS[0], secret_key: "very-secret\n" }] },
      "registry_keys.0.secret_key: must be 8 to 1024 characters, and no line end",
    ],
    [
      { registry_keys: [{ access_key: "admin", secret_key: "very-secret" }] },
      "registry_keys.0: must be an object with the keys",
    ],
    [{ registry_keys: [{ ...KEYS[0], rolle: "x" }] }, 'did you mean "registry_keys.0.role"?'],
    [{ registry_keys: [...KEYS, ...KEYS] }, "registry_keys: has the same access_key twice"],
    [{ registry_keys: KEYS, registry_tls: { cert: "a.pem" } }, "registry_tls: needs both cert and key"],
    [{ registry_keys: KEYS, registry_bucket: "No" }, "registry_bucket: must be 3 to 63 lower-case letters"],
    [{ registry_keys: KEYS, registry_prot: 1 }, 'did you mean "registry_port"?'],
    [{ registry_keys: KEYS, worker_port: 1 }, "worker_port: is not a known key"],
  ])("is refused: %j", async (values, message) => {
    const directory = temporaryDirectory();
    const error = await problem(directory, values);
    expect(error).toMatchObject({ code: "OL_CONFIG_INVALID", message: expect.stringContaining(message) });
    expect(error).toMatchObject({ message: expect.not.stringContaining("secret!") });
    expect(error).toMatchObject({ message: expect.not.stringContaining("very-secret") });
  });

  test("never shows a key, not even one in the environment that is no JSON", async () => {
    const directory = temporaryDirectory();
    const error = await problem(
      directory,
      {},
      { OL_REGISTRY_KEYS: '[{"access_key": "admin", "secret_key": "very-secret"' },
    );
    expect(error).toMatchObject({ code: "OL_CONFIG_INVALID", message: expect.not.stringContaining("very") });
    expect(JSON.stringify(redact({ registry_keys: KEYS, config: { keys: KEYS } }))).not.toContain("very");
  });

  test("warns if others can read the file with the keys, and if strangers can read what goes over the wire", async () => {
    const directory = temporaryDirectory();
    const file = join(directory, "registry.json");
    await load(directory, { registry_keys: KEYS, registry_url: "0.0.0.0" });
    await chmod(file, 0o644);
    const { warnings } = await loadRegistryConfig(file);
    expect(warnings).toEqual([
      expect.stringContaining("no registry_tls"),
      expect.stringContaining("chmod 600"),
    ]);
  });

  test("reads the certificate and its key, and says which file it cannot read", async () => {
    const directory = temporaryDirectory();
    await writeFile(join(directory, "cert.pem"), "the certificate");
    const values = { registry_keys: KEYS, registry_tls: { cert: "cert.pem", key: "key.pem" } };
    expect(await problem(directory, values)).toMatchObject({
      code: "OL_CONFIG_UNREADABLE",
      message: expect.stringMatching(/^registry_tls\.key: .*key\.pem cannot be read: there is none/u),
    });
    await writeFile(join(directory, "key.pem"), "the key");
    expect((await load(directory, values)).tls).toEqual({
      cert: "the certificate",
      key: "the key",
      certFile: join(directory, "cert.pem"),
      keyFile: join(directory, "key.pem"),
    });
  });
});
