import { expect, it, onTestFinished } from "vitest";

import { PackageIndex } from "../../packages/lambda/test/support/package-index/package-index.ts";
import { wheel } from "../../packages/lambda/test/support/package-index/wheel.ts";
import { formatValidation, runValidate, sweep } from "../../packages/bench/src/index.ts";

const NAMES = ["one", "two", "three", "four", "five", "six"];
const IMPORT_MS = 30;
const POSITIVE: unknown = expect.toSatisfy((value: number) => value > 0);

/** A package whose import takes CPU time. */
const busy = `import time

_end = time.process_time() + ${IMPORT_MS / 1_000}
while time.process_time() < _end:
    pass
`;

it(
  "the simulator is fitted to a real worker, plays the same workloads, and is compared with it",
  { timeout: 400_000 },
  async () => {
    const wheels = NAMES.map((name) => wheel({ name: `ol_${name}`, files: { [`ol_${name}.py`]: busy } }));
    const index = await PackageIndex.start(wheels);
    onTestFinished(() => index[Symbol.asyncDispose]());
    const said: string[] = [];
    const results = await runValidate({
      seed: 1,
      slots: 2,
      sandboxMb: 64,
      cores: 2,
      runMs: 5,
      measureMs: 1_500,
      directory: undefined,
      lambdas: NAMES.map((name) => ({
        name: `validates-${name}`,
        pins: [`ol-${name}==1.0`],
        imports: [`import ol_${name}`],
      })),
      settings: { pip_mirror: index.url },
      simulate: (runs) => sweep(runs, 2),
      progress: (what) => said.push(what),
    });
    const { costs, workloads } = results;
    // What the kernel, the worker and Python take at least, and no measurement of ours can miss.
    for (const name of ["clientMs", "workerMs", "guestMs", "forkMs", "loadMs", "guestMb"] as const)
      expect({ [name]: costs[name] }).toEqual({ [name]: POSITIVE });
    expect(costs.efficiency).toBeGreaterThanOrEqual(0);
    expect(costs.efficiency).toBeLessThanOrEqual(1);
    expect(workloads).toHaveLength(4);
    for (const { label, real, simulated, comparisons } of workloads) {
      const figures = { label, failed: real.failedShare, real: real.perSec, simulated: simulated.perSec };
      expect(figures).toEqual({ label, failed: 0, real: POSITIVE, simulated: POSITIVE });
      expect(comparisons).toHaveLength(3);
    }
    // Every call of the first imports a package anew, one of two cores for each at most.
    const [fitted] = workloads;
    expect(fitted?.simulated.coldShare).toBeGreaterThan(0.5);
    expect(fitted?.simulated.perSec).toBeLessThan((2 * 1_000) / IMPORT_MS);
    expect(formatValidation(results, 0.15)).toContain("Zipf, short of memory");
    expect(said).toContain("the same in virtual time");
  },
);
