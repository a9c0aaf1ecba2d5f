import { describe, expect, test } from "vitest";

import { LATER_KEYS } from "../../src/later.ts";
import { problemsIn, validateTemplate } from "../../src/index.ts";

const nested = (path: string, value: unknown): unknown =>
  path.split(".").reduceRight<unknown>((inner, key) => ({ [key]: inner }), value);

describe("a worker's configuration", () => {
  test("may have every key of this version", () => {
    const full = {
      worker_dir: "w",
      worker_url: "0.0.0.0",
      worker_port: "8080",
      worker_slots: 8,
      queue_timeout_ms: 100,
      cluster_name: "my-cluster",
      sandbox: "sock",
      network: "none",
      registry: "remote",
      registry_server: "localhost:9000",
      registry_bucket: "code",
      registry_region: "eu-central-1",
      registry_access_key: "reader",
      registry_secret_key: "reader-secret",
      registry_ca: "ca.pem",
      signatures: "enforce",
      trusted_keys: ["keys/team.pem"],
      bundle_limits: { packed_mb: 10, unpacked_mb: 100, files: 500 },
      registry_dir: "/r",
      registry_cache_ms: 0,
      mem_pool_mb: 512,
      limits: {
        procs: 1,
        mem_mb: 50,
        cpu_percent: 50,
        swappiness: 0,
        runtime_sec: 0.5,
        body_mb: 1,
        log_mb: 1,
        scratch_mb: 1,
      },
      pkgs_dir: "packages",
      pip_mirror: "https://user:word@127.0.0.1/simple",
      install_wait_ms: 1,
      installer_limits: { procs: 16, mem_mb: 64, runtime_sec: 1, scratch_mb: 16 },
      source_packages: true,
      import_cache: "tree",
      import_cache_tree: { packages: ["numpy"], children: [] },
      startup_pkgs: ["numpy==2.1.*"],
      trace: "logs/trace.jsonl",
      features: { enable_seccomp: true },
      storage: { scratch: "" },
      trusted_proxies: ["10.0.0.1", "10.0.0.0/8", "::1", "fd00::/8"],
      log_output: "stderr",
    };
    expect(problemsIn(full)).toEqual([]);
    expect(problemsIn({})).toEqual([]);
  });

  test.each(LATER_KEYS)("%s is refused as not available in this version", (key) => {
    expect(problemsIn(nested(key, "x"))).toEqual([`${key}: is not available in this version yet; remove it`]);
  });

  test.each([
    ["sandbox", "podman", '"sock" or "docker"'],
    ["docker.prepared", -1, "a whole number from 0 to 100"],
    ["docker.share", "cluster", '"off" or "lambda"'],
    ["docker.host", "", 'where a daemon listens, such as "unix:///var/run/docker.sock"'],
  ])("%s %j is refused, and what would do is said", (key, value, instead) => {
    expect(problemsIn(nested(key, value))).toEqual([
      `${key}: must be ${instead}, not ${JSON.stringify(value)}`,
    ]);
  });

  test.each([
    ["workerport", "worker_port"],
    ["worker_prot", "worker_port"],
    ["WorkerURL", "worker_url"],
    ["mem_pool", "mem_pool_mb"],
    ["sandboxes", "sandbox"],
    ["limit", "limits"],
    ["trusted_proxy", "trusted_proxies"],
  ])("for the unknown key %s the key %s is suggested", (wrong, right) => {
    expect(problemsIn({ [wrong]: 1 })).toEqual([`${wrong}: is not a known key; did you mean "${right}"?`]);
  });

  test("for an unknown key in a group the whole path is suggested", () => {
    expect(problemsIn({ limits: { memory_mb: 3 } })).toEqual([
      'limits.memory_mb: is not a known key; did you mean "limits.mem_mb"?',
    ]);
  });

  test("for an unknown key that resembles nothing the list of keys is pointed to", () => {
    expect(problemsIn({ xyzzy: 1 })).toEqual([
      "xyzzy: is not a known key; `npx ol-admin config` lists all keys",
    ]);
  });

  test.each<[unknown, string]>([
    [{ worker_port: "eighty" }, "worker_port: must be a port number from 0 to 65535"],
    [{ worker_port: 70_000 }, "worker_port: must be a port number"],
    [{ worker_port: "70000" }, "worker_port: must be a port number"],
    [{ worker_port: -1 }, "worker_port: must be"],
    [{ worker_port: null }, "worker_port: must be"],
    [{ worker_slots: "8" }, 'worker_slots: must be a whole number from 1 to 10000, not "8"'],
    [{ worker_slots: 1.5 }, "worker_slots: must be a whole number from 1 to 10000, not 1.5"],
    [{ worker_slots: 0 }, "worker_slots: must be"],
    [{ limits: { procs: true } }, "limits.procs: must be a whole number from 1 to 32768, not true"],
    [{ limits: [] }, "limits: must be an object with the keys procs, mem_mb"],
    [{ sandbox: "sokc" }, 'sandbox: must be "sock" or "docker", not "sokc"'],
    [{ trusted_proxies: "10.0.0.1" }, "trusted_proxies: must be a list"],
    [{ trusted_proxies: ["10.0.0.0/33"] }, "trusted_proxies.0: must be an IP address or a range"],
    [{ trusted_proxies: ["example.org"] }, "trusted_proxies.0: must be an IP address or a range"],
    [{ worker_url: "http://x/y" }, "worker_url: must be a host name or address"],
    [{ worker_url: "a b" }, "worker_url: must be"],
    [{ worker_dir: "" }, "worker_dir: must be a path"],
    [{ worker_dir: "a\0b" }, "worker_dir: must be a path"],
    [{ cluster_name: "../x" }, "cluster_name: must be"],
    [[], "must be an object"],
  ])("%j is refused and says what is expected", (value, start) => {
    const problems = problemsIn(value);
    expect(problems).toHaveLength(1);
    expect(problems[0]?.startsWith(start)).toBe(true);
    expect(problems[0]).not.toContain("\n");
  });

  test("all mistakes come out at once, one line each, with the file", () => {
    const wrong = { worker_slots: "x", limits: { mem_mb: "x" }, trace: 1, zebra: 1 };
    expect(() => validateTemplate(wrong, "template.json")).toThrowError(
      expect.objectContaining({
        code: "OL_CONFIG_INVALID",
        message: expect.stringMatching(/^(?:template\.json: [a-z_.]+: [^\n]+(?:\n|$)){4}$/u) as string,
      }) as Error,
    );
  });

  test("a key called __proto__ is an unknown key like any other", () => {
    expect(problemsIn(JSON.parse('{"__proto__": {"sandbox": "x"}}'))).toEqual([
      expect.stringContaining("__proto__: is not a known key"),
    ]);
  });

  test("hundreds of unknown keys give a short message", () => {
    const wrong = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`key${i}\n`, i]));
    expect(() => validateTemplate(wrong, "t")).toThrow(/and 480 more$/u);
  });
});
