import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { CleanupStack, silentLogger } from "@ol/common";
import { SandboxPool, SockEngine } from "@ol/sandbox";
import { expect, it, onTestFinished } from "vitest";

import {
  GrowingTree,
  type InstalledSet,
  NoZygotes,
  ZygoteKeeper,
  type ZygotePolicy,
} from "../../src/index.ts";

const LIMITS = { memoryMb: 64, swappiness: 0, procs: 16, cpuPercent: 100, logMb: 1, scratchMb: 16 };
const PACKAGES = ["one", "two", "three", "four", "five", "six"];
const STARTS = 90;
const SETTLE_MS = 30_000;
const HASH = "0123456789ab";

/** Twelve lambdas: each package alone, and each with the next. */
const SETS = [
  ...PACKAGES.map((name) => [name]),
  ...PACKAGES.map((name, place) => [name, PACKAGES[(place + 1) % PACKAGES.length] ?? ""]),
];

/** Packages as the store would have installed them, whose import takes 50 ms, and lambdas that import them. */
const prepare = async (root: string): Promise<void> => {
  for (const name of PACKAGES) {
    const directory = path.join(root, "packages", "3", `${name}-1-${HASH}`);
    await mkdir(directory, { recursive: true });
    await writeFile(path.join(directory, `${name}.py`), "import time\ntime.sleep(0.05)\n");
  }
  for (const names of SETS) {
    const directory = path.join(root, "code", names.join("-"));
    await mkdir(directory, { recursive: true });
    const imports = names.map((name) => `import ${name}\n`).join("");
    await writeFile(path.join(directory, "f.py"), `${imports}def f(event):\n    return 1\n`);
  }
};

const installed = (names: readonly string[]): InstalledSet => ({
  key: names.join(" "),
  packages: names.map((name) => ({
    name,
    version: "1",
    hashes: [],
    requires: [],
    id: `${name}==1+${HASH}`,
    directory: `3/${name}-1-${HASH}`,
    modules: [name],
  })),
});

/** The same calls for all: the n-th of the lambdas is called about n^-1 as often as the first. */
const CALLS = Array.from(
  { length: STARTS },
  (_, call) => Math.floor(SETS.length ** (((call * 37) % STARTS) / STARTS)) - 1,
);

/** How many packages all of the starts together imported themselves, as their guests say. */
const importsOf = async (pool: SandboxPool, policy: ZygotePolicy): Promise<number> => {
  const keeper = await ZygoteKeeper.create({ pool, makePolicy: () => policy, logger: silentLogger });
  try {
    const lambdas = SETS.map((names) => ({ code: names.join("-"), packages: installed(names) }));
    let total = 0;
    for (const place of CALLS) {
      const lambda = lambdas[place];
      if (lambda === undefined) throw new Error(`there is no lambda ${place}`);
      const { code, packages } = lambda;
      const directories = packages.packages.map(({ directory }) => directory);
      const spec = { name: code, code, network: "none" as const, environment: {}, limits: LIMITS };
      await using sandbox = await keeper.acquire({ ...spec, packages: directories }, packages, {});
      await sandbox.ready;
      total += keeper.originOf(sandbox)?.costs?.size ?? 0;
      // A busy machine may take longer for a zygote than for the next starts: that is not what is asked here.
      await expect
        .poll(() => policy.snapshot(0).nodes.some(({ state }) => state === "building"), {
          timeout: SETTLE_MS,
        })
        .toBe(false);
    }
    return total;
  } finally {
    await keeper.close();
  }
};

it("spares a mix of twelve lambdas two thirds of their imports within ninety starts, the first ones included", async () => {
  const cleanup = new CleanupStack();
  onTestFinished(() => cleanup.run());
  const root = await mkdtemp(path.join(tmpdir(), "ol-zygotes-mixed-"));
  cleanup.add(() => rm(root, { recursive: true, force: true }));
  await prepare(root);
  const engine = await SockEngine.create({
    clusterId: Math.random().toString(36).slice(2, 10).padEnd(8, "0"),
    workerName: "w",
    workDir: path.join(root, "work"),
    codeDir: path.join(root, "code"),
    packagesDir: path.join(root, "packages"),
    networks: ["none"],
  });
  cleanup.add(() => engine.close());
  const pool = SandboxPool.create({ engine, memoryMb: 4_000 });
  cleanup.add(() => pool.close());
  const off = await importsOf(pool, new NoZygotes());
  const auto = await importsOf(pool, new GrowingTree({ budgetMb: 128 }));
  expect(off).toBe(CALLS.reduce((sum, place) => sum + (SETS[place]?.length ?? 0), 0));
  expect(auto).toBeLessThan(off / 3);
});
