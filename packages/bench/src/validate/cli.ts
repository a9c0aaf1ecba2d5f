import { availableParallelism } from "node:os";
import { resolve } from "node:path";

import { type NamedCommand, namedCommand, type Progress } from "../command.ts";
import { benchError } from "../errors.ts";
import { generateMixed, loadImportLines } from "../mixed/workload.ts";
import { numberOf, type OptionValues } from "../options.ts";
import { sweep } from "../virtual/sweep.ts";
import { loadZygoteData } from "../zygotes/data.ts";
import { beyond, formatValidation } from "./format.ts";
import { runValidate, type ValidateOptions } from "./validate.ts";

const help = `  --slots=N          calls that the worker runs at once; default 4
  --lambdas=N        each with a package set of its own; default 24
  --run-ms=N         how long a call takes besides importing, without the CPU; default 20
  --seed=N           of lambdas and calls; default 1
  --seconds=N        measured of each workload; default 60
  --tolerance=N      percent that they may differ; default 15
  --directory=DIR    where packages are kept for the next run; default: nowhere`;

const STRING = { type: "string" } as const;

const OPTIONS = {
  slots: { ...STRING, default: "4" },
  lambdas: { ...STRING, default: "24" },
  "run-ms": { ...STRING, default: "20" },
  seed: { ...STRING, default: "1" },
  seconds: { ...STRING, default: "60" },
  tolerance: { ...STRING, default: "15" },
  directory: STRING,
} as const;

/** scikit-learn, and what it needs, takes more than a lambda's 50 MB. */
const SANDBOX_MB = 256;

type Flags = OptionValues<typeof OPTIONS>;
type Figure = Exclude<keyof Flags, "directory">;

const wholeOf = (flags: Flags, name: Figure, least: number, most: number): number =>
  numberOf(name, flags[name], { least, most });

const optionsOf = async (flags: Flags, progress: Progress): Promise<ValidateOptions> => {
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
    progress,
  };
  const workload = { seed, lambdas: wholeOf(flags, "lambdas", 2, 1_000), calls: 0, skew: 1 };
  const { lambdas } = generateMixed(await loadZygoteData(), await loadImportLines(), workload);
  return { ...rest, lambdas };
};

/** `ol-bench validate`; fails with OL_BENCH_SIMULATION_WRONG if they differ by too much. */
export const VALIDATE: NamedCommand = namedCommand("validate", {
  about: "fits the simulator to a real worker, and compares the two on other workloads",
  options: OPTIONS,
  help,
  more: "Installs packages from the index into a directory of its own first. Exit code 1 if they differ by more. docs/simulator.md explains it.",
  run: async (flags, progress) => {
    const tolerance = wholeOf(flags, "tolerance", 1, 1_000) / 100;
    return { ...(await runValidate(await optionsOf(flags, progress))), tolerance };
  },
  format: (found) => formatValidation(found, found.tolerance),
  judge: (found) => {
    const wrong = beyond(found, found.tolerance);
    if (wrong.length > 0)
      throw benchError(
        "OL_BENCH_SIMULATION_WRONG",
        `the simulator differs from the real worker by more than ${found.tolerance * 100} %: ${wrong.join("; ")}`,
      );
  },
  seedOf: (flags) => wholeOf(flags, "seed", 1, 1_000_000),
});
