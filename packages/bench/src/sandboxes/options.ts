import type { NetworkClass } from "@ol/common";

import { ENGINES, findEngines } from "../engines.ts";
import { numberOf, numbersOf, wordOf, wordsOf } from "../options.ts";
import type { Skipped } from "../results.ts";

/** What all commands over sandboxes take. */
export const SANDBOX_OPTIONS = {
  engine: { type: "string" },
  network: { type: "string", default: "none" },
} as const;

export const SANDBOX_HELP: string = `  --engine=A,B       of ${Object.keys(ENGINES).join(", ")}; default: all that can be used here
  --network=CLASS    none, host or outbound; default none`;

const NETWORKS: readonly NetworkClass[] = ["none", "host", "outbound"];
/** More would be a test of the machine's limits. */
const MOST_SANDBOXES = 1_000;

/** Engines that were asked for and can be used, and in which network class. */
export interface SandboxChoice {
  readonly engines: readonly string[];
  readonly skipped: readonly Skipped[];
  readonly network: NetworkClass;
}

/** Fails with OL_BENCH_USAGE. */
export const sandboxChoice = async (values: {
  readonly engine?: string | undefined;
  readonly network: string;
}): Promise<SandboxChoice> => {
  const all = Object.keys(ENGINES);
  const network = wordOf("network", values.network, NETWORKS);
  const wanted = values.engine === undefined ? all : wordsOf("engine", values.engine, all);
  const { found, skipped } = await findEngines(wanted);
  return { engines: found, skipped, network };
};

/** How many sandboxes; fails with OL_BENCH_USAGE. */
export const countOf = (name: string, text: string, least = 1): number =>
  numberOf(name, text, { least, most: MOST_SANDBOXES });

/** Several such numbers with commas between them; fails with OL_BENCH_USAGE. */
export const countsOf = (name: string, text: string, least = 1): readonly number[] =>
  numbersOf(name, text, { least, most: MOST_SANDBOXES });

/** How often something is repeated; fails with OL_BENCH_USAGE. */
export const repeatsOf = (name: string, text: string): number =>
  numberOf(name, text, { least: 1, most: 100_000 });

/** Seconds, as ms; fails with OL_BENCH_USAGE. */
export const secondsOf = (name: string, text: string): number =>
  numberOf(name, text, { least: 0.1, most: 3_600, fraction: true }) * 1_000;
