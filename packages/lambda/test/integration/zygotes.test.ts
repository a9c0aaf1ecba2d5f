import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { deferred, silentLogger } from "@ol/common";
import { type Sandbox, SandboxPool, SockEngine } from "@ol/sandbox";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { GrowingTree, type InstalledSet, type StateStore, ZygoteKeeper } from "../../src/index.ts";

const LIMITS = { memoryMb: 64, swappiness: 0, procs: 16, cpuPercent: 100, logMb: 1, scratchMb: 16 };
const HANDLER = `
import os, sys
import heavy
def f(event):
    return {"version": heavy.VERSION, "made": heavy.MADE, "pid": heavy.PID, "all": sorted(set(sys.modules) & {"heavy", "other"})}
`;
const BARE = `
import sys
def f(event):
    try:
        import heavy
    except ImportError:
        return "not declared"
    return "there"
`;
/** Slow enough to be worth a zygote at once. */
const heavy = (version: string): string =>
  `import os, time\ntime.sleep(0.05)\nVERSION = "${version}"\nPID = os.getpid()\nMADE = time.time()\n`;

let root: string;
let engine: SockEngine;
let pool: SandboxPool;

/** One package as the store would have installed it. */
const install = async (name: string, version: string, source: string): Promise<void> => {
  const directory = path.join(root, "packages", "3", `${name}-${version}-0123456789ab`);
  await mkdir(directory, { recursive: true });
  await writeFile(path.join(directory, `${name}.py`), source);
};

const setOf = (...packages: readonly (readonly [string, string])[]): InstalledSet => ({
  key: packages.flat().join(" "),
  packages: packages.map(([name, version]) => ({
    name,
    version,
    hashes: [],
    requires: [],
    id: `${name}==${version}+0123456789ab`,
    directory: `3/${name}-${version}-0123456789ab`,
    modules: [name],
  })),
});

const keeperOf = (state?: StateStore): Promise<ZygoteKeeper> =>
  ZygoteKeeper.create({
    pool,
    makePolicy: () => new GrowingTree({ budgetMb: 200 }),
    ...(state !== undefined && { state }),
    logger: silentLogger,
  });

const start = async (keeper: ZygoteKeeper, packages: InstalledSet, code = "uses"): Promise<Sandbox> => {
  const spec = { name: code, code, network: "none" as const, environment: {}, limits: LIMITS };
  const directories = packages.packages.map(({ directory }) => directory);
  const sandbox = await keeper.acquire({ ...spec, packages: directories }, packages, {});
  await sandbox.ready;
  return sandbox;
};

/** Starts a sandbox, and returns what its lambda says. */
const ask = async (keeper: ZygoteKeeper, packages: InstalledSet, code?: string): Promise<unknown> => {
  await using sandbox = await start(keeper, packages, code);
  const { body } = await sandbox.call({ invocationId: "one", timeoutMs: 10_000, body: Buffer.from("{}") });
  return JSON.parse(body.toString());
};

const nodes = (
  keeper: ZygoteKeeper,
): readonly { readonly state: string; readonly pins: readonly string[] }[] =>
  keeper.stats().trees.flatMap((tree) => tree.nodes);

const ready = (keeper: ZygoteKeeper, count: number): Promise<void> =>
  expect
    .poll(() => nodes(keeper).filter(({ state }) => state === "ready").length, { timeout: 20_000 })
    .toBe(count);

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), "ol-zygotes-"));
  for (const [name, source] of Object.entries({ uses: HANDLER, bare: BARE })) {
    await mkdir(path.join(root, "code", name), { recursive: true });
    await writeFile(path.join(root, "code", name, "f.py"), source);
  }
  await install("heavy", "1", heavy("1"));
  await install("heavy", "2", heavy("2"));
  engine = await SockEngine.create({
    clusterId: Math.random().toString(36).slice(2, 10).padEnd(8, "0"),
    workerName: "w",
    workDir: path.join(root, "work"),
    codeDir: path.join(root, "code"),
    packagesDir: path.join(root, "packages"),
    networks: ["none"],
  });
  pool = SandboxPool.create({ engine, memoryMb: 2_000 });
});

afterEach(async () => {
  await pool.close();
  await engine.close();
  await rm(root, { recursive: true, force: true });
});

describe("the keeper of zygotes", () => {
  it("has a zygote made of what starts would gain from, and forks from it what declares its packages", async () => {
    const keeper = await keeperOf();
    const set = setOf(["heavy", "1"]);
    const first = (await ask(keeper, set)) as { made: number };
    for (let start = 0; nodes(keeper).length === 0 && start < 5; start += 1) await ask(keeper, set);
    await ready(keeper, 1);
    const [second, third] = [await ask(keeper, set), await ask(keeper, set)] as { made: number }[];
    // The module was imported once, before either of them.
    expect(second?.made).toBe(third?.made);
    expect(second?.made).toBeGreaterThan(first.made);
    expect(keeper.stats().uses.hit).toBe(2);
    expect(await ask(keeper, setOf(), "bare")).toBe("not declared");
    await keeper.close();
    expect(pool.stats().zygotes).toBe(0);
  });

  it("never lets two versions meet", async () => {
    const keeper = await keeperOf();
    const [one, two] = [setOf(["heavy", "1"]), setOf(["heavy", "2"])];
    for (let start = 0; start < 6; start += 1) {
      expect(await ask(keeper, one)).toMatchObject({ version: "1" });
      expect(await ask(keeper, two)).toMatchObject({ version: "2" });
    }
    await ready(keeper, 2);
    expect(await ask(keeper, one)).toMatchObject({ version: "1" });
    expect(await ask(keeper, two)).toMatchObject({ version: "2" });
    for (const { pins } of nodes(keeper)) expect(pins).toHaveLength(1);
    await keeper.close();
  });

  it("does without a zygote that dies, and has it made again", async () => {
    const keeper = await keeperOf();
    const set = setOf(["heavy", "1"]);
    for (let start = 0; start < 3; start += 1) await ask(keeper, set);
    await ready(keeper, 1);
    const living = await start(keeper, set);
    expect(keeper.originOf(living)?.use).toBe("hit");
    // Its own import code could end it like that at any time.
    const { promise: gone, resolve } = deferred<void>();
    pool.on("zygoteGone", () => resolve());
    await endZygotes();
    await gone;
    expect(keeper.stats().trees[0]?.lost).toBe(1);
    // What was forked from it lives on.
    const { body } = await living.call({ invocationId: "x", timeoutMs: 10_000, body: Buffer.from("{}") });
    expect(JSON.parse(body.toString())).toMatchObject({ version: "1" });
    await living.destroy();
    for (let start = 0; start < 3; start += 1) expect(await ask(keeper, set)).toMatchObject({ version: "1" });
    await ready(keeper, 1);
    expect(await ask(keeper, set)).toMatchObject({ version: "1" });
    await keeper.close();
  });

  it("keeps a package out that starts a thread when it is imported, and names it", async () => {
    await install(
      "heavy",
      "3",
      `${heavy("3")}import threading\nthreading.Thread(target=time.sleep, args=(100,), daemon=True).start()\n`,
    );
    const keeper = await keeperOf();
    const set = setOf(["heavy", "3"]);
    for (let start = 0; start < 4; start += 1) expect(await ask(keeper, set)).toMatchObject({ version: "3" });
    await expect
      .poll(() => Object.entries(keeper.stats().trees[0]?.excluded ?? {}), { timeout: 20_000 })
      .toEqual([["heavy==3+0123456789ab", expect.stringContaining("thread")]]);
    expect(await ask(keeper, set)).toMatchObject({ version: "3" });
    expect(nodes(keeper)).toEqual([]);
    await keeper.close();
  });

  it("takes up what an earlier keeper knew before anything is called", async () => {
    let saved: unknown;
    const state: StateStore = {
      load: () => Promise.resolve(saved),
      // As a file would have it.
      save: (value) => Promise.resolve(void (saved = JSON.parse(JSON.stringify(value)))),
    };
    const keeper = await keeperOf(state);
    const set = setOf(["heavy", "1"]);
    for (let start = 0; start < 3; start += 1) await ask(keeper, set);
    await ready(keeper, 1);
    await keeper.close();
    const next = await keeperOf(state);
    await ready(next, 1);
    await ask(next, set);
    expect(next.stats().uses).toEqual({ hit: 1, partial: 0, miss: 0 });
    await next.close();
    for (const broken of ["{}", 7, { version: 1, trees: { none: { policy: { x: 1 }, directories: {} } } }]) {
      saved = broken;
      const afresh = await keeperOf(state);
      expect(await ask(afresh, set)).toMatchObject({ version: "1" });
      await afresh.close();
    }
  });

  it("goes on with another policy while sandboxes run", async () => {
    const keeper = await keeperOf();
    const set = setOf(["heavy", "1"]);
    for (let start = 0; start < 3; start += 1) await ask(keeper, set);
    await ready(keeper, 1);
    await using living = await start(keeper, set);
    await keeper.replace(() => new GrowingTree({ budgetMb: 100 }));
    expect(nodes(keeper)).toEqual([]);
    expect(living.ended).toBeUndefined();
    expect(await ask(keeper, set)).toMatchObject({ version: "1" });
    expect(keeper.stats().trees.map(({ budgetMb }) => budgetMb)).toEqual([100]);
    await keeper.close();
  });
});

/** Ends every zygote with packages from outside, as the kernel would for want of memory. */
const endZygotes = async (): Promise<void> => {
  const { readdir, readFile } = await import("node:fs/promises");
  const broker = engine.brokerPid;
  if (broker === undefined) throw new Error("no broker");
  const parents = new Map<number, number>();
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/u.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
    const parent = /\) \S (?<parent>\d+)/u.exec(stat)?.groups?.["parent"];
    if (parent !== undefined) parents.set(Number(name), Number(parent));
  }
  const depthOf = (pid: number): number => {
    let depth = 0;
    for (let above = parents.get(pid); above !== undefined && above !== broker; above = parents.get(above)) {
      depth += 1;
      if (above <= 1) return -1;
    }
    return depth;
  };
  // Broker, init, root zygote, its children: a package zygote's init, and below it the zygote.
  const candidates = [...parents.keys()].filter((pid) => depthOf(pid) === 3);
  for (const pid of candidates) process.kill(pid, "SIGKILL");
};
