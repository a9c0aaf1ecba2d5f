import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { parseArgs } from "node:util";

import { messageOf } from "@ol/common";

import { benchError } from "../errors.ts";
import { generateMixed, loadImportLines } from "../mixed/workload.ts";
import { sweep } from "../virtual/sweep.ts";
import { loadZygoteData } from "../zygotes/data.ts";
import { beyond, formatValidation } from "./format.ts";
import { runValidate, type ValidateOptions } from "./validate.ts";

const usage = `ol-bench validate: fits the simulator to a real worker, and compares the two on other workloads

usage: ol-bench validate [options]

  --slots=N          calls that the worker runs at once; default 4
  --lambdas=N        each with a package set of its own; default 24
  --run-ms=N         how long a call takes besides importing, without the CPU; default 20
  --seed=N           of lambdas and calls; default 1
  --seconds=N        measured of each workload; default 60
  --tolerance=N      percent that they may differ; default 15
  --directory=DIR    where packages are kept for the next run; default: nowhere
  --json             prints the JSON only; otherwise a table comes first

Installs packages from the index into a directory of its own first. Exit code 1 if they differ by more. docs/simulator.md explains it.
`;

const STRING = { type: "string" } as const;

const OPTIONS = {
  slots: { ...STRING, default: "4" },
  lambdas: { ...STRING, default: "24" },
  "run-ms": { ...STRING, default: "20" },
  seed: { ...STRING, default: "1" },
  seconds: { ...STRING, default: "60" },
  tolerance: { ...STRING, default: "15" },
  directory: STRING,
  json: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;

/** scikit-learn, and what it needs, takes more than a lambda's 50 MB. */
const SANDBOX_MB = 256;

const parse = (args: readonly string[]) => {
  try {
    return parseArgs({ args: [...args], options: OPTIONS }).values;
  } catch (error) {
    throw benchError("OL_BENCH_USAGE", messageOf(error), { cause: error });
  }
};

type Flags = ReturnType<typeof parse>;

const wholeOf = (
  flags: Flags,
  name: "slots" | "lambdas" | "run-ms" | "seed" | "seconds" | "tolerance",
  least: number,
  most: number,
): number => {
  const text = flags[name];
  const value = Number(text);
  if (text.trim() !== "" && Number.isInteger(value) && value >= least && value <= most) return value;
  throw benchError(
    "OL_BENCH_USAGE",
    `--${name} must be a whole number from ${least} to ${most}, not ${JSON.stringify(text)}`,
  );
};

const optionsOf = async (flags: Flags): Promise<ValidateOptions> => {
  const seed = wholeOf(flags, "seed", 1, 1_000_000);
  const cores = availableParallelism();
  const rest = {
    seed,
    cores,
    slots: wholeOf(flags, "slots", 1, 64),
    sandboxMb: SANDBOX_MB,
    runMs: wholeOf(flags, "run-ms", 0, 10_000),
    measureMs: wholeOf(flags, "seconds", 1, 3_600) * 1_000,
    directory: flags.directory === undefined ? undefined : resolve(flags.directory),
    simulate: (runs: Parameters<ValidateOptions["simulate"]>[0]) => sweep(runs, cores),
    progress: (what: string) => void process.stderr.write(`ol-bench: ${what}\n`),
  };
  const workload = { seed, lambdas: wholeOf(flags, "lambdas", 2, 1_000), calls: 0, skew: 1 };
  const { lambdas } = generateMixed(await loadZygoteData(), await loadImportLines(), workload);
  return { ...rest, lambdas };
};

/** Runs `ol-bench validate`; throws OL_BENCH_USAGE for a wrong command line, OL_BENCH_SIMULATION_WRONG if they differ by too much. */
export const runValidateCommand = async (args: readonly string[]): Promise<void> => {
  const flags = parse(args);
  if (flags.help) {
    process.stdout.write(usage);
    return;
  }
  const tolerance = wholeOf(flags, "tolerance", 1, 1_000) / 100;
  const results = await runValidate(await optionsOf(flags));
  if (!flags.json) process.stdout.write(`${formatValidation(results, tolerance)}\n\n`);
  process.stdout.write(`${JSON.stringify(results)}\n`);
  const wrong = beyond(results, tolerance);
  if (wrong.length > 0)
    throw benchError(
      "OL_BENCH_SIMULATION_WRONG",
      `the simulator differs from the real worker by more than ${tolerance * 100} %: ${wrong.join("; ")}`,
    );
};
