import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { loadBalancerConfig } from "../../src/index.ts";
import { temporaryDirectory } from "./temporary.ts";

/** Writes load_balancer.json and reads it. */
const load = async (
  directory: string,
  values: unknown,
  environment = {},
): ReturnType<typeof loadBalancerConfig> => {
  const file = join(directory, "load_balancer.json");
  await writeFile(file, JSON.stringify(values));
  return loadBalancerConfig(file, environment);
};

const problem = (directory: string, values: unknown, environment = {}): Promise<unknown> =>
  load(directory, values, environment).then(
    () => "accepted",
    (error: unknown) => (error as Error).message,
  );

const WRONG: readonly (readonly [unknown, RegExp])[] = [
  [{ load_high: 1.5 }, /load_high: must be a number from 2/u],
  [{ load_low: 4 }, /load_low: must be less than load_high/u],
  [{ policy: "LRAD" }, /policy: must be "LARD"/u],
  [{ polisy: "LARD" }, /did you mean "policy"/u],
  [{ port: 1, Port: 2 }, /port: is there twice/u],
  [{ workers: ["localhost:8080"] }, /workers\.0: must be a URL/u],
  [{ workers: ["http://user:word@a:1"] }, /workers\.0: must be a URL/u],
  [{ workers: ["http://a:1/path"] }, /workers\.0: must be a URL/u],
  [{ workers: [{ id: "a" }] }, /workers\.0: must be a URL/u],
  [{ tls: { cert: "a" } }, /tls: needs both cert and key/u],
  [{ tls: { cert: "none.pem", key: "none.pem" } }, /tls\.cert: .* cannot be read/u],
  [{ token: "short" }, /token: must be at least 16 characters, not what is there/u],
  [{ trusted_proxies: ["10.0.0.0/33"] }, /trusted_proxies\.0: must be/u],
];

describe("a load balancer's configuration", () => {
  test("needs nothing, and says that there are no workers then", async () => {
    const directory = temporaryDirectory();
    expect(await load(directory, {})).toEqual({
      file: join(directory, "load_balancer.json"),
      policy: "LARD",
      loadLow: 1,
      loadHigh: 4,
      queuePerSlot: 2,
      queueTimeoutMs: 10_000,
      retryIdempotent: false,
      url: "localhost",
      addresses: ["127.0.0.1", "::1"],
      port: 7079,
      workers: [],
      trustedProxies: [],
      limits: {
        maxConnections: 10_000,
        headersMs: 10_000,
        bodyIdleMs: 30_000,
        connectMs: 1_000,
        idleMs: 60_000,
        drainMs: 30_000,
        maxKeptBytes: 256 * 1024 * 1024,
      },
      logOutput: "",
      warnings: [expect.stringContaining("there will never be a worker")],
    });
  });

  test("may be spelled as the 2019 fork did", async () => {
    const config = await load(temporaryDirectory(), {
      Policy: "RoundRobin",
      LoadLow: 2,
      LoadHigh: 3,
      MaxConn: -1,
      Port: "7080",
      Workers: ["http://127.0.0.1:8080"],
    });
    expect(config).toMatchObject({ policy: "RoundRobin", loadLow: 2, loadHigh: 3, port: 7080 });
    expect(config.workers).toEqual([{ url: "http://127.0.0.1:8080" }]);
    expect(config).not.toHaveProperty("maxConn");
  });

  test("is overruled by the environment", async () => {
    const config = await load(
      temporaryDirectory(),
      { port: 1, max_conn: 5 },
      {
        OL_PORT: "2",
        OL_WORKERS: "http://a:1,http://b:2",
        OL_LIMITS_DRAIN_MS: "5",
        OL_MAX_CONN: "7",
      },
    );
    expect(config).toMatchObject({ port: 2, maxConn: 7 });
    expect(config.workers).toEqual([{ url: "http://a:1" }, { url: "http://b:2" }]);
    expect(config.limits.drainMs).toBe(5);
  });

  test("in a cluster has the cluster's token, and paths begin there", async () => {
    const directory = temporaryDirectory();
    const config = join(directory, "config");
    await mkdir(config);
    const identity = { id: "abcd1234", token: "0123456789abcdef", plan: { workers: 1 } };
    await writeFile(join(config, "cluster.json"), JSON.stringify(identity));
    expect(await load(config, { workers_file: "w.json" })).toMatchObject({
      token: "0123456789abcdef",
      workersFile: join(directory, "w.json"),
      warnings: [],
    });
    expect((await load(config, { token: "another-token-of-16" })).token).toBe("another-token-of-16");
  });

  test("warns if whoever reaches the port can run lambdas", async () => {
    const { warnings } = await load(temporaryDirectory(), { url: "0.0.0.0", workers_dns: "http://w:8080" });
    expect(warnings).toEqual([expect.stringContaining("callers are not authenticated")]);
  });

  test.each(WRONG)("%j is refused", async (values, message) => {
    expect(await problem(temporaryDirectory(), values)).toMatch(message);
  });
});
