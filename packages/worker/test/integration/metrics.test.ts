import { LambdaManager, type CodeSource, lambdaError } from "@ol/lambda";
import { SandboxPool } from "@ol/sandbox";
import { FakeEngine } from "@ol/sandbox/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Worker } from "../../src/index.ts";
import { agentClient } from "../http/clients.ts";

const code = {
  quick: { call: () => 1 },
  raises: {
    call: () => {
      throw new Error("no such luck");
    },
  },
};

const source: CodeSource = {
  resolve: (name) =>
    name in code
      ? Promise.resolve({
          name,
          digest: name,
          dir: name,
          stamp: name,
          config: { environment: {}, limits: {} },
        })
      : Promise.reject(lambdaError("OL_LAMBDA_UNKNOWN", `there is no lambda ${name}`)),
  current: (name) => Promise.resolve(name),
  kept: () => Promise.resolve([]),
  release: () => undefined,
};

const LIMITS = {
  memoryMb: 50,
  swappiness: 0,
  procs: 10,
  cpuPercent: 100,
  logMb: 8,
  scratchMb: 64,
  runtimeSec: 10,
  bodyMb: 6,
};

describe("what people look at", () => {
  const engine = new FakeEngine({ code });
  const pool = SandboxPool.create({ engine, memoryMb: 1_000 });
  const options = { pool, source, limits: LIMITS, network: "none", slots: 8 } as const;
  const manager = new LambdaManager({ ...options, queueTimeoutMs: 10_000, registryCacheMs: 5_000 });
  const client = agentClient();
  let worker: Worker;

  const get = async (path: string): Promise<string> => {
    const { body } = await client.send(worker.port, { method: "GET", path });
    return body.toString();
  };

  beforeAll(async () => {
    const addresses = ["127.0.0.1"];
    const named = { name: "worker-0", version: "0.0.0", engine: "fake" };
    worker = await Worker.start({ ...named, manager, pool, addresses, port: 0 });
    for (let count = 0; count < 5; count += 1) await get("/run/quick");
    await get("/run/raises");
    await get("/run/nobody");
  });

  afterAll(async () => {
    await client.close();
    await worker.close();
    await manager.close();
    await pool.close();
    await engine.close();
  });

  it("are counts by lambda, outcome and cause, cold and warm, in Prometheus' words", async () => {
    const lines = (await get("/metrics")).split("\n");
    expect(lines).toEqual(
      expect.arrayContaining([
        'ol_worker_calls_total{outcome="answered"} 6',
        'ol_worker_errors_total{cause="exception"} 1',
        'ol_lambda_calls_total{lambda="quick",outcome="answered"} 5',
        'ol_lambda_errors_total{lambda="raises",cause="exception"} 1',
        'ol_lambda_starts_total{lambda="quick",start="cold"} 1',
        'ol_lambda_starts_total{lambda="quick",start="warm"} 4',
        'ol_lambda_run_seconds_count{lambda="quick"} 5',
        'ol_lambda_run_seconds_bucket{le="+Inf",lambda="quick"} 5',
        'ol_lambda_queue_seconds_count{lambda="raises"} 1',
        'ol_lambda_instances{lambda="quick",state="idle"} 1',
        'ol_lambda_queued_calls{lambda="quick"} 0',
        "# TYPE ol_lambda_run_seconds histogram",
        `ol_worker_sandbox_memory_bytes ${100 * 1024 * 1024}`,
        "ol_worker_sandbox_memory_used_bytes 2000000",
        "ol_worker_sandboxes_evicted_total 0",
      ]),
    );
    expect(lines.some((line) => line.includes("nobody"))).toBe(false);
  });

  it("are histograms whose buckets add up", async () => {
    const buckets = [
      ...(await get("/metrics")).matchAll(
        /^ol_lambda_run_seconds_bucket\{le="([^"]+)",lambda="quick"\} (\d+)$/gmu,
      ),
    ];
    const counts = buckets.map(([, , count]) => Number(count));
    expect(buckets.map(([, bound]) => bound)).toHaveLength(18);
    expect(counts).toEqual(counts.toSorted((one, other) => one - other));
    expect(counts.at(-1)).toBe(5);
  });

  it("are phases of the calls of each lambda, as JSON", async () => {
    const stats = JSON.parse(await get("/stats")) as {
      functions: { name: string; kind: string; calls: object; phases: Record<string, number> }[];
      pool: { usedMb: number };
    };
    const quick = stats.functions.find(({ name }) => name === "quick");
    expect(quick).toMatchObject({
      kind: "function",
      calls: { accepted: 5, answered: 5, cold: 1, errors: {} },
    });
    expect(Object.keys(quick?.phases ?? {})).toEqual(["queueMs", "memoryMs", "forkMs", "importMs", "runMs"]);
    expect(quick?.phases["runMs"]).toBeGreaterThan(0);
    expect(stats.pool.usedMb).toBe(2);
  });

  it("are phases of one call in its reply", async () => {
    const { headers } = await client.send(worker.port, { method: "GET", path: "/run/quick" });
    expect(headers["server-timing"]).toMatch(/^queue;dur=\d+\.\d\d, run;dur=\d+\.\d\d$/u);
  });
});
