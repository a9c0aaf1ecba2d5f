import { align } from "../table.ts";
import type { ValidateResults } from "./validate.ts";

const digits = (value: number): string => {
  if (!Number.isFinite(value)) return "-";
  return value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(3);
};

const percent = (share: number): string => (Number.isFinite(share) ? `${(share * 100).toFixed(0)} %` : "-");

/** What differs by more, of the workloads that the parameters were not fitted on. */
export const beyond = ({ workloads }: ValidateResults, tolerance: number): readonly string[] =>
  workloads.slice(1).flatMap(({ label, comparisons }) =>
    comparisons
      // Also where there is no figure.
      .filter(({ difference }) => !(difference <= tolerance))
      .map(({ figure, difference }) => `${label}, ${figure}: ${percent(difference)}`),
  );

/** The results as people read them. */
export const formatValidation = (results: ValidateResults, tolerance: number): string => {
  const head = ["workload", "figure", "real", "simulated", "difference", ""];
  const rows = results.workloads.flatMap(({ label, comparisons }, at) =>
    comparisons.map(({ figure, real, simulated, difference }, place) => [
      place === 0 ? label : "",
      figure,
      digits(real),
      digits(simulated),
      percent(difference),
      at === 0 ? "(fitted)" : difference <= tolerance ? "" : "BEYOND",
    ]),
  );
  const costs = Object.entries(results.costs).map(([name, value]) => `${name} ${digits(value)}`);
  const { slots, lambdas, cores, measureMs } = results.options;
  return [
    `a worker with ${slots} slots on ${cores} cores, ${lambdas} lambdas, ${measureMs / 1_000} s of each workload`,
    "",
    ...align([head, ...rows]),
    "",
    `fitted: ${costs.join(", ")}; packages take ${digits(results.importRatio)} times as long as in packages/bench/data`,
    ...results.notes.map((note) => `note: ${note}`),
  ].join("\n");
};
