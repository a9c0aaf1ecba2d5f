import { type Aim, atLeast, atMost } from "../results.ts";
import type { PolicyResult, SeedFigures } from "./run.ts";

const LEAST_THROUGHPUT = 2;
const MOST_P99 = 1 / 3;

/** What LARD is to be worth where locality counts, each by the seed for which it came out worst; none without both policies. */
export const aimsOf = (rows: readonly PolicyResult[]): readonly Aim[] => {
  const seedsOf = (wanted: string): readonly SeedFigures[] =>
    rows.find(({ policy }) => policy === wanted)?.seeds ?? [];
  const [lard, robin] = [seedsOf("LARD"), seedsOf("RoundRobin")];
  if (lard.length === 0 || robin.length === 0) return [];
  const ratios = (of: (figures: SeedFigures) => number): number[] =>
    lard.map((figures, at) => of(figures) / of(robin[at] as SeedFigures));
  const throughput = Math.min(...ratios(({ saturated }) => saturated.perSec));
  const p99 = Math.max(...ratios(({ half }) => half.p99Ms));
  return [
    atLeast("throughput, LARD / RoundRobin", throughput, LEAST_THROUGHPUT),
    {
      ...atMost("p99 at half load, LARD / RoundRobin", p99, MOST_P99),
      name: "p99 at half load, LARD / RoundRobin <= 1/3",
    },
  ];
};
