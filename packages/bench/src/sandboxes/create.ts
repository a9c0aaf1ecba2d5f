import { parseSteps, type Sandbox, type StepReport } from "@ol/sandbox";

import { closedLoop } from "../calls/loops.ts";
import { type NamedCommand, namedCommand, type Progress } from "../command.ts";
import { describeLoad, describeMachine } from "../machine.ts";
import { acquire, type BenchPool, callHello, memoryForMb, startPool } from "../pool.ts";
import { realPython } from "../python.ts";
import type { Results, Row } from "../results.ts";
import { formatTable, plotTable } from "../table.ts";
import {
  countOf,
  countsOf,
  repeatsOf,
  SANDBOX_HELP,
  SANDBOX_OPTIONS,
  sandboxChoice,
  type SandboxChoice,
} from "./options.ts";
import { Series } from "./series.ts";
import { stepsOf } from "./steps.ts";

export interface CreateOptions extends SandboxChoice {
  /** How many are made at once, in turn. */
  readonly atOnce: readonly number[];
  /** Sandboxes for each of these numbers. */
  readonly samples: number;
  /** Processes that wait; 0 shows all steps. */
  readonly prepared: number;
  readonly progress: Progress;
}

const NS_PER_MS = 1e6;

/** Makes, calls and ends one sandbox, and adds what each part took. */
class Maker {
  readonly #pool: BenchPool;
  readonly #fresh: boolean;
  readonly #reports = new Map<string, StepReport>();

  constructor(pool: BenchPool, fresh: boolean) {
    this.#pool = pool;
    this.#fresh = fresh;
    pool.pool.on("guest", (sandbox: Sandbox, name: string, body: Buffer) => {
      const report = name === "steps" ? parseSteps(body) : undefined;
      if (report !== undefined) this.#reports.set(sandbox.id, report);
    });
  }

  async make(into: Series): Promise<void> {
    const askedNs = process.hrtime.bigint();
    const sandbox = await acquire(this.#pool.pool, this.#pool.spec());
    const madeNs = process.hrtime.bigint();
    await sandbox.ready;
    const readyNs = process.hrtime.bigint();
    await callHello(sandbox);
    const repliedNs = process.hrtime.bigint();
    await sandbox.destroy();
    const goneNs = process.hrtime.bigint();
    const add = (name: string, fromNs: bigint, toNs: bigint): void =>
      into.add(name, Number(toNs - fromNs) / NS_PER_MS);
    add("all, to the first reply", askedNs, repliedNs);
    add("create and connect", askedNs, madeNs);
    add("hello and code", madeNs, readyNs);
    add("first call", readyNs, repliedNs);
    add("destroy", repliedNs, goneNs);
    const report = this.#reports.get(sandbox.id);
    this.#reports.delete(sandbox.id);
    if (report === undefined) return;
    for (const [name, ms] of stepsOf(report, askedNs, readyNs, this.#fresh)) into.add(name, ms);
  }
}

const measureEngine = async (
  engine: string,
  { network, prepared, atOnce, samples, progress }: CreateOptions,
  python: string,
): Promise<Row[]> => {
  await using pool = await startPool({
    name: `create-${engine}`,
    engine,
    python,
    network,
    prepared,
    steps: true,
    memoryMb: memoryForMb(Math.max(...atOnce)),
  });
  await pool.warmUp();
  const maker = new Maker(pool, prepared === 0);
  const rows: Row[] = [];
  for (const count of atOnce) {
    progress(`${engine}, ${count} at once`);
    const series = new Series();
    const turns = Array.from({ length: samples }, () => series);
    await closedLoop(count, turns, (into) => maker.make(into));
    rows.push(...series.rows(`${engine}, ${count} at once`, "ms", { engine, atOnce: count }));
  }
  return rows;
};

/** What making a sandbox is made of: each step, by how many are made at once. */
export const runCreate = async (options: CreateOptions): Promise<Results> => {
  const notes = describeLoad();
  const python = await realPython();
  const rows: Row[] = [];
  for (const engine of options.engines) rows.push(...(await measureEngine(engine, options, python)));
  return { machine: describeMachine(python), rows, aims: [], skipped: options.skipped, notes };
};

const OPTIONS = {
  ...SANDBOX_OPTIONS,
  "at-once": { type: "string", default: "1,4,16" },
  samples: { type: "string", default: "200" },
  prepared: { type: "string", default: "0" },
} as const;

/** `ol-bench create`. */
export const CREATE: NamedCommand = namedCommand("create", {
  about: "what making a sandbox is made of: each step, by how many are made at once",
  options: OPTIONS,
  help: `${SANDBOX_HELP}
  --at-once=N,M      how many are being made at once, in turn; default 1,4,16
  --samples=N        sandboxes for each of these; default 200
  --prepared=N       processes that wait to become sandboxes; default 0, which shows all steps`,
  run: async (values, progress) =>
    runCreate({
      ...(await sandboxChoice(values)),
      atOnce: countsOf("at-once", values["at-once"]),
      samples: repeatsOf("samples", values.samples),
      prepared: countOf("prepared", values.prepared, 0),
      progress,
    }),
  format: formatTable,
  plot: plotTable,
});
