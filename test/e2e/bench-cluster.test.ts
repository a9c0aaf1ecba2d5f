import { expect, it, onTestFinished } from "vitest";

import { PackageIndex } from "../../packages/lambda/test/support/package-index/package-index.ts";
import { wheel } from "../../packages/lambda/test/support/package-index/wheel.ts";
import { formatCluster, plotCluster, runCluster } from "../../packages/bench/src/index.ts";

const NAMES = ["one", "two", "three", "four", "five", "six", "seven", "eight"];

it(
  "real workers with packages behind a real balancer answer every call of the workload, with each policy",
  { timeout: 400_000 },
  async () => {
    const index = await PackageIndex.start(NAMES.map((name) => wheel({ name: `ol_${name}` })));
    onTestFinished(() => index[Symbol.asyncDispose]());
    const policies = ["RoundRobin", "LARD"];
    const results = await runCluster({
      seeds: [1],
      policies,
      workers: 2,
      slots: 1,
      clientsPerSlot: 2,
      runMs: 5,
      sandboxMb: 64,
      scenarios: [{ label: "small", skew: 0, memoryShare: 0.25 }],
      warmupMs: 500,
      measureMs: 1_000,
      lambdasOf: () =>
        NAMES.map((name) => ({
          name: `calls-${name}`,
          pins: [`ol-${name}==1.0`],
          imports: [`import ol_${name}`],
        })),
      settings: { pip_mirror: index.url },
      progress: () => undefined,
    });
    const rows = results.scenarios[0]?.rows ?? [];
    expect(rows.map(({ policy }) => policy)).toEqual(policies);
    for (const { seeds } of rows)
      for (const run of seeds.flatMap(({ saturated, half }) => [saturated, half])) {
        expect(run.failedShare).toBe(0);
        expect(run.perSec).toBeGreaterThan(0);
        expect(run.p99Ms).toBeGreaterThanOrEqual(run.p50Ms);
        // What a call takes at least.
        expect(run.p50Ms).toBeGreaterThan(5);
      }
    // Beside reality what virtual time has, of the same lambdas and calls.
    for (const { simulated } of rows.flatMap(({ seeds }) => seeds)) {
      expect(simulated?.saturated.perSec).toBeGreaterThan(0);
      expect(simulated?.half.p50Ms).toBeGreaterThan(5);
    }
    // Two workers with memory for two of eight lambdas each, and for two more where zygotes have none: in turns they lack some.
    const [robin] = rows;
    expect(robin?.seeds[0]?.saturated.coldShare).toBeGreaterThan(0);
    expect(results.aims).toHaveLength(2);
    expect(formatCluster(results)).toMatch(/^LARD +\d+ /mu);
    expect(plotCluster(results)).toContain("small: throughput");
  },
);
