import { join } from "node:path";

import { CleanupStack } from "@ol/common";

import { benchError } from "../errors.ts";
import { describeLoad, describeMachine } from "../machine.ts";
import { type BenchPackages, type BenchPool, startPool } from "../pool.ts";
import { realPython } from "../python.ts";
import { type Aim, atMost, type Results, type Row } from "../results.ts";
import { allCompiled, packageDirectories } from "../site-packages.ts";
import { pairedRatios, summarize } from "../statistics.ts";
import { type BenchSite, type BenchWorker, helloWith, makeSite, startWorker } from "../worker.ts";

export interface PackagesOptions {
  readonly rounds: number;
  readonly warmupRounds: number;
  /** Sandboxes among which memory is shared out. */
  readonly idleSandboxes: number;
  /** Told what begins. */
  readonly progress: (what: string) => void;
}

export const DEFAULT_PACKAGES: Omit<PackagesOptions, "progress"> = {
  rounds: 40,
  warmupRounds: 5,
  idleSandboxes: 8,
};

/** In this version, so that later runs measure the same. */
const REQUIREMENT = "pandas==3.1.1";
const MODULE = "pandas";
const TREE = { packages: [], children: [{ packages: [MODULE], children: [] }] };
const CONFIG = "reuse-sandbox: false\n";
const INSTALL_MS = 600_000;
const MEMORY_MB = 4_096;
/** pandas takes more than a lambda's 50 MB. */
const LIMITS = { mem_mb: 256 };
/** Starts after which a zygote that was wished for is there: it is made beside them. */
const MOST_STARTS = 200;
const PREPARED = 2;
const MOST_OF_FRESH = 1 / 20;
const MOST_OF_HELLO = 2.5;

type Measure = () => Promise<number>;

/** Rows in which one thing is measured in three ways: with nothing to import, imported afresh, and from a zygote. */
interface Trio {
  readonly name: string;
  readonly hello: Measure;
  readonly fresh: Measure;
  readonly zygote: Measure;
}

const KINDS = { hello: "no package", fresh: "pandas imported", zygote: "pandas from a zygote" } as const;

const measureTrios = async (
  trios: readonly Trio[],
  rounds: number,
  warmupRounds: number,
): Promise<{ rows: Row[]; aims: Aim[] }> => {
  const series = trios.map((): Record<keyof typeof KINDS, number[]> => ({
    hello: [],
    fresh: [],
    zygote: [],
  }));
  for (let round = 0; round < warmupRounds + rounds; round += 1)
    for (const [place, trio] of trios.entries())
      for (const kind of ["hello", "fresh", "zygote"] as const) {
        const value = await trio[kind]();
        if (round >= warmupRounds) series[place]?.[kind].push(value);
      }
  const rows: Row[] = [];
  const aims: Aim[] = [];
  for (const [place, { name }] of trios.entries()) {
    const { hello, fresh, zygote } = series[place] as Record<keyof typeof KINDS, number[]>;
    const ratios = { imported: pairedRatios(zygote, fresh), "no package": pairedRatios(zygote, hello) };
    rows.push(
      { name: `${name}: ${KINDS.hello}`, unit: "ms", values: summarize(hello), ratios: {} },
      { name: `${name}: ${KINDS.fresh}`, unit: "ms", values: summarize(fresh), ratios: {} },
      { name: `${name}: ${KINDS.zygote}`, unit: "ms", values: summarize(zygote), ratios },
    );
    aims.push(
      atMost(`${name}: from a zygote / imported`, ratios.imported.median, MOST_OF_FRESH),
      atMost(`${name}: from a zygote / no package`, ratios["no package"].median, MOST_OF_HELLO),
    );
  }
  return { rows, aims };
};

const worker = async (
  site: BenchSite,
  python: string,
  name: string,
  settings: object,
): Promise<BenchWorker> =>
  startWorker({
    site,
    name,
    python,
    memoryMb: MEMORY_MB,
    settings: { limits: LIMITS, install_wait_ms: INSTALL_MS, ...settings },
  });

const hitsOf = async (one: BenchWorker): Promise<number> =>
  ((await one.stats()) as { zygotes: { uses: { hit: number } } }).zygotes.uses.hit;

/** Calls until a sandbox was forked from the zygote of the tree. */
const untilHit = async (one: BenchWorker): Promise<void> => {
  for (let start = 0; start < MOST_STARTS; start += 1) {
    await one.call(MODULE);
    if ((await hitsOf(one)) > 0) return;
  }
  throw benchError("OL_BENCH_HELPER_FAILED", `there was no zygote with pandas after ${MOST_STARTS} starts`);
};

const measureIdle = async (pool: BenchPool, count: number): Promise<Row[]> => {
  const rows: Row[] = [];
  for (const [code, name] of [
    ["hello", KINDS.hello],
    ["zygote", KINDS.zygote],
  ] as const)
    rows.push({
      name: `idle sandbox: ${name}`,
      unit: "MiB",
      values: summarize([await pool.measureIdlePssMb(count, code)]),
      ratios: {},
    });
  return rows;
};

const startPools = async (
  python: string,
  packages: BenchPackages,
  cleanup: CleanupStack,
): Promise<ReadonlyMap<string, BenchPool>> => {
  const pools = new Map<string, BenchPool>();
  for (const [row, prepared] of [
    ["sandbox, forked when asked for", 0],
    ["sandbox, prepared", PREPARED],
  ] as const) {
    const pool = await startPool({ name: `pandas-${prepared}`, python, network: "none", prepared, packages });
    cleanup.add(async () => pool[Symbol.asyncDispose]());
    pools.set(row, pool);
  }
  return pools;
};

const install = async (site: BenchSite, python: string): Promise<BenchPackages> => {
  await site.addLambda("hello", { "f.py": helloWith([]), "ol.yaml": CONFIG });
  await site.addLambda(MODULE, {
    "f.py": helloWith([`import ${MODULE}`]),
    "ol.yaml": CONFIG,
    "packages.txt": `${REQUIREMENT}\n`,
  });
  const installing = await worker(site, python, "installing", { import_cache: "off" });
  try {
    await installing.call(MODULE, INSTALL_MS);
    await allCompiled(site, INSTALL_MS);
  } finally {
    await installing[Symbol.asyncDispose]();
  }
  const directories = await packageDirectories(site);
  return { packagesDir: join(site.directory, "packages"), directories, modules: [MODULE] };
};

const overHttp = (off: BenchWorker, tree: BenchWorker): Trio => ({
  name: "first call over HTTP",
  hello: () => off.call("hello"),
  fresh: () => off.call(MODULE),
  zygote: () => tree.call(MODULE),
});

/**
 * What a start costs a lambda that imports pandas, when it does so itself and when it comes from a zygote, beside one that
 * imports nothing: in turns, in sandboxes alone and over HTTP. Installs pandas from the index first.
 */
export const runPackages = async (options: PackagesOptions): Promise<Results> => {
  const { rounds, warmupRounds, idleSandboxes, progress } = options;
  const notes = describeLoad();
  const cleanup = new CleanupStack();
  try {
    const python = await realPython();
    const site = await makeSite();
    cleanup.add(async () => site[Symbol.asyncDispose]());
    progress("installing pandas");
    const packages = await install(site, python);
    progress("making zygotes");
    const off = await worker(site, python, "off", { import_cache: "off" });
    cleanup.add(async () => off[Symbol.asyncDispose]());
    const tree = await worker(site, python, "tree", { import_cache: "tree", import_cache_tree: TREE });
    cleanup.add(async () => tree[Symbol.asyncDispose]());
    await untilHit(tree);
    const pools = await startPools(python, packages, cleanup);
    progress(`starts, ${warmupRounds} + ${rounds} rounds`);
    const trios = [...pools].map(([name, pool]): Trio => ({
      name,
      hello: () => pool.measureColdStart("hello"),
      fresh: () => pool.measureColdStart("packages"),
      zygote: () => pool.measureColdStart("zygote"),
    }));
    const starts = await measureTrios([...trios, overHttp(off, tree)], rounds, warmupRounds);
    progress("memory");
    const [pool] = pools.values();
    const idle = await measureIdle(pool as BenchPool, idleSandboxes);
    const hits = await hitsOf(tree);
    if (hits < rounds) notes.push(`only ${hits} sandboxes were forked from the zygote of the worker`);
    return { machine: describeMachine(python), rows: [...starts.rows, ...idle], aims: starts.aims, notes };
  } finally {
    await cleanup.run();
  }
};
