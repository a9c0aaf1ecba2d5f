import type { Sandbox } from "@ol/sandbox";

import { type NamedCommand, namedCommand, type Progress } from "../command.ts";
import { describeLoad, describeMachine } from "../machine.ts";
import { type BenchPool, memoryForMb, startPool } from "../pool.ts";
import { realPython } from "../python.ts";
import type { Results, Row } from "../results.ts";
import { formatTable, plotTable } from "../table.ts";
import { countOf, SANDBOX_HELP, SANDBOX_OPTIONS, sandboxChoice, type SandboxChoice } from "./options.ts";
import { single } from "./series.ts";

export interface DensityOptions extends SandboxChoice {
  /** Among how many sandboxes memory is shared out. */
  readonly sandboxes: number;
  readonly prepared: number;
  readonly progress: Progress;
}

const MIB = 1_048_576;
const MIB_PER_GIB = 1_024;

/** What each of these sandboxes holds as the engine counts it, in MiB on average. */
const countedMb = async (sandboxes: readonly Sandbox[]): Promise<number> => {
  const bytes = await Promise.all(sandboxes.map((sandbox) => sandbox.memoryBytes()));
  return bytes.reduce((sum, value) => sum + value, 0) / MIB / sandboxes.length;
};

const measureEngine = async (
  engine: string,
  { network, prepared, sandboxes, progress }: DensityOptions,
  python: string,
): Promise<Row[]> => {
  await using pool: BenchPool = await startPool({
    name: `density-${engine}`,
    engine,
    python,
    network,
    prepared,
    memoryMb: memoryForMb(sandboxes),
  });
  progress(`${engine}: ${sandboxes} sandboxes`);
  // Whatever the first ones make the engine load is not theirs.
  await pool.warmUp();
  await pool.start();
  const beforeMb = await pool.pssMb();
  const made: Sandbox[] = [];
  while (made.length < sandboxes) made.push(await pool.start());
  const rows: Row[] = [];
  const add = (state: string, pssMb: number, counted: number): void => {
    const labels = { engine, state, sandboxes };
    rows.push(
      single(`${engine}: ${state}, PSS`, "MiB", pssMb, { ...labels, what: "pss" }),
      single(`${engine}: ${state}, as the engine counts it`, "MiB", counted, { ...labels, what: "counted" }),
      single(`${engine}: ${state}, by PSS`, "1/GiB", MIB_PER_GIB / pssMb, { ...labels, what: "density" }),
    );
  };
  const perSandbox = async (): Promise<number> => ((await pool.pssMb()) - beforeMb) / sandboxes;
  add("idle", await perSandbox(), await countedMb(made));
  await Promise.all(made.map((sandbox) => sandbox.pause()));
  add("paused", await perSandbox(), await countedMb(made));
  return rows;
};

/** How many sandboxes there is room for: what one more takes when it has answered a call and waits, and when it is paused. */
export const runDensity = async (options: DensityOptions): Promise<Results> => {
  const notes = describeLoad();
  const python = await realPython();
  const rows: Row[] = [];
  for (const engine of options.engines) rows.push(...(await measureEngine(engine, options, python)));
  return { machine: describeMachine(python), rows, aims: [], skipped: options.skipped, notes };
};

const OPTIONS = {
  ...SANDBOX_OPTIONS,
  sandboxes: { type: "string", default: "50" },
  prepared: { type: "string", default: "0" },
} as const;

/** `ol-bench density`. */
export const DENSITY: NamedCommand = namedCommand("density", {
  about: "what one more sandbox holds, idle and paused, and how many fit into a GiB",
  options: OPTIONS,
  help: `${SANDBOX_HELP}
  --sandboxes=N      among which memory is shared out; default 50
  --prepared=N       processes that wait to become sandboxes; default 0`,
  run: async (values, progress) =>
    runDensity({
      ...(await sandboxChoice(values)),
      sandboxes: countOf("sandboxes", values.sandboxes),
      prepared: countOf("prepared", values.prepared, 0),
      progress,
    }),
  format: formatTable,
  plot: plotTable,
});
