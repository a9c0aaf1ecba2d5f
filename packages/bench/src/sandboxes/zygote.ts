import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import type { ZygoteSpec } from "@ol/sandbox";

import { type NamedCommand, namedCommand, type Progress } from "../command.ts";
import { describeLoad, describeMachine } from "../machine.ts";
import { acquire, type BenchPackages, type BenchPool, callHello, startPool } from "../pool.ts";
import { realPython } from "../python.ts";
import type { Results, Row } from "../results.ts";
import { pairedRatios, summarize } from "../statistics.ts";
import { formatTable, plotTable } from "../table.ts";
import {
  countOf,
  repeatsOf,
  SANDBOX_HELP,
  SANDBOX_OPTIONS,
  sandboxChoice,
  type SandboxChoice,
} from "./options.ts";

export interface ZygoteOptions extends SandboxChoice {
  /** Packages that the lambda imports, each of so many modules. */
  readonly packages: number;
  readonly modules: number;
  readonly samples: number;
  readonly prepared: number;
  readonly progress: Progress;
}

const WARMUP = 3;
const COMPILE_MS = 120_000;
const ZYGOTE_MS = 60_000;
/** Of each module: as many as a module of the standard library has, about. */
const FUNCTIONS = 20;

const moduleText = (name: string): string =>
  Array.from(
    { length: FUNCTIONS },
    (_, at) => `def f${at}(value, *more, key=None):\n    """Of ${name}."""\n    return [value, key, *more]\n`,
  ).join("\n");

/** Writes packages of our own making, compiled, since there is no index here to have real ones from. */
const writePackages = async (
  directory: string,
  python: string,
  { packages, modules }: ZygoteOptions,
): Promise<BenchPackages> => {
  const names = Array.from({ length: packages }, (_, at) => `bench_${at}`);
  for (const name of names) {
    const place = join(directory, "own", name, name);
    await mkdir(place, { recursive: true });
    const parts = Array.from({ length: modules }, (_, at) => `m${at}`);
    for (const part of parts) await writeFile(join(place, `${part}.py`), moduleText(`${name}.${part}`));
    await writeFile(join(place, "__init__.py"), `from . import ${parts.join(", ")}\n`);
  }
  await promisify(execFile)(python, ["-I", "-m", "compileall", "-q", directory], { timeout: COMPILE_MS });
  return { packagesDir: directory, directories: names.map((name) => `own/${name}`), modules: names };
};

/** What each start takes, in ms, by what it is forked from. */
class ZygoteTrial {
  readonly #pool: BenchPool;
  readonly #packages: BenchPackages;
  readonly #made: string[] = [];

  constructor(pool: BenchPool, packages: BenchPackages) {
    this.#pool = pool;
    this.#packages = packages;
  }

  /** A chain of zygotes below the root: each imports one package more than the one above it. */
  async makeChain(): Promise<void> {
    for (const place of this.#packages.modules.keys()) {
      const id = `chain-${place + 1}`;
      const parent = this.#made.at(-1);
      await this.#pool.pool.createZygote(id, this.#zygote(place, parent), { deadlineMs: ZYGOTE_MS });
      this.#made.push(id);
    }
  }

  /** How each row is measured, by its name. */
  measures(): ReadonlyMap<string, () => Promise<number>> {
    const of = this.#packages.modules.length;
    return new Map([
      ["from the root, no package", () => this.#pool.measureColdStart("hello")],
      [`from the root, imports ${of} packages`, () => this.#pool.measureColdStart("packages")],
      [`from a zygote with all ${of}`, () => this.#pool.measureColdStart("zygote")],
      ...this.#made.map(
        (id, at) =>
          [`from zygote ${at + 1} of a chain, imports ${of - at - 1}`, () => this.#from(id)] as const,
      ),
    ]);
  }

  /** Makes a zygote with one package, and ends it: how long until it could be forked from, and what it says its import took. */
  async makeOne(): Promise<{ allMs: number; importMs: number }> {
    const begunMs = performance.now();
    const zygote = await this.#pool.pool.createZygote("made", this.#zygote(0, undefined), {
      deadlineMs: ZYGOTE_MS,
    });
    const allMs = performance.now() - begunMs;
    const { ms } = zygote.import;
    await zygote.kill();
    return { allMs, importMs: ms };
  }

  #zygote(place: number, parent: string | undefined): ZygoteSpec {
    const { network, limits } = this.#pool.spec();
    const { directories, modules } = this.#packages;
    return {
      network,
      limits,
      packages: directories.slice(0, place + 1),
      modules: [modules[place] as string],
      ...(parent !== undefined && { parent }),
    };
  }

  async #from(zygote: string): Promise<number> {
    const begunMs = performance.now();
    const sandbox = await acquire(this.#pool.pool, { ...this.#pool.spec("packages"), zygote });
    await callHello(sandbox);
    const tookMs = performance.now() - begunMs;
    await sandbox.destroy();
    return tookMs;
  }
}

const measureEngine = async (
  engine: string,
  packages: BenchPackages,
  { network, prepared, samples, progress }: ZygoteOptions,
  python: string,
): Promise<Row[]> => {
  await using pool = await startPool({
    name: `zygote-${engine}`,
    engine,
    python,
    network,
    prepared,
    packages,
  });
  const trial = new ZygoteTrial(pool, packages);
  await pool.warmUp();
  await trial.makeChain();
  const measures = trial.measures();
  const values = new Map<string, number[]>([...measures.keys()].map((name) => [name, []]));
  const [made, imported]: [number[], number[]] = [[], []];
  for (let round = 0; round < WARMUP + samples; round += 1) {
    if (round === WARMUP) progress(`${engine}: ${samples} starts of each kind`);
    for (const [name, measure] of measures) {
      const ms = await measure();
      if (round >= WARMUP) values.get(name)?.push(ms);
    }
    const { allMs, importMs } = await trial.makeOne();
    if (round >= WARMUP) {
      made.push(allMs);
      imported.push(importMs);
    }
  }
  const [rootName = "", importName = ""] = measures.keys();
  const [root = [], imports = []] = [values.get(rootName), values.get(importName)];
  const rows = [...values].map(([name, series]): Row => {
    const ratios = {
      ...(name !== rootName && { [rootName]: pairedRatios(series, root) }),
      ...(name !== importName && { [importName]: pairedRatios(series, imports) }),
    };
    const labels = { engine, what: name };
    return { name: `${engine}: ${name}`, unit: "ms", values: summarize(series), ratios, labels };
  });
  const zygoteRow = (what: string, series: number[]): Row => ({
    name: `${engine}: ${what}`,
    unit: "ms",
    values: summarize(series),
    ratios: {},
    labels: { engine, what },
  });
  return [...rows, zygoteRow("a zygote with one package", made), zygoteRow("of which its import", imported)];
};

/** What forking from a zygote spares: starts from the root, from zygotes with packages, and with the imports done afresh. */
export const runZygote = async (options: ZygoteOptions): Promise<Results> => {
  const notes = describeLoad();
  const python = await realPython();
  const directory = await mkdtemp(join(tmpdir(), "ol-bench-packages-"));
  try {
    // Sandboxes are other users.
    await chmod(directory, 0o755);
    const packages = await writePackages(directory, python, options);
    const rows: Row[] = [];
    for (const engine of options.engines)
      rows.push(...(await measureEngine(engine, packages, options, python)));
    return { machine: describeMachine(python), rows, aims: [], skipped: options.skipped, notes };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
};

const OPTIONS = {
  ...SANDBOX_OPTIONS,
  packages: { type: "string", default: "3" },
  modules: { type: "string", default: "40" },
  samples: { type: "string", default: "50" },
  prepared: { type: "string", default: "0" },
} as const;

/** `ol-bench zygote`. */
export const ZYGOTE: NamedCommand = namedCommand("zygote", {
  about: "what a fork from a zygote spares: from the root, from packages' zygotes, with imports done afresh",
  options: OPTIONS,
  help: `${SANDBOX_HELP}
  --packages=N       packages of our own making that the lambda imports; default 3
  --modules=N        modules of each; default 40
  --samples=N        starts of each kind; default 50
  --prepared=N       processes that wait at each zygote; default 0`,
  more: "ol-bench packages and ol-bench mixed measure the same with packages from the index.",
  run: async (values, progress) =>
    runZygote({
      ...(await sandboxChoice(values)),
      packages: countOf("packages", values.packages),
      modules: countOf("modules", values.modules),
      samples: repeatsOf("samples", values.samples),
      prepared: countOf("prepared", values.prepared, 0),
      progress,
    }),
  format: formatTable,
  plot: plotTable,
});
