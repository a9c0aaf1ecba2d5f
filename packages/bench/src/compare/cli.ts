import { type NamedCommand, namedCommand } from "../command.ts";
import { wordsOf } from "../options.ts";
import { PEER_NAMES } from "../peers/find.ts";
import { countOf, repeatsOf, SANDBOX_HELP, SANDBOX_OPTIONS, sandboxChoice } from "../sandboxes/options.ts";
import type { Row } from "../results.ts";
import { type Drawn, formatTable, plotTable } from "../table.ts";
import { runCompare } from "./run.ts";

const OPTIONS = {
  ...SANDBOX_OPTIONS,
  peer: { type: "string", default: PEER_NAMES.join(",") },
  rounds: { type: "string", default: "30" },
  calls: { type: "string", default: "50" },
  living: { type: "string", default: "10" },
} as const;

/** What is compared takes from microseconds to half a second: each has a panel, in which who took part stands below each other. */
const drawnOf = ({ name }: Row): Drawn => {
  const [panel = "", label = name] = name.split(": ");
  return { panel, label };
};

/** `ol-bench compare`. */
export const COMPARE: NamedCommand = namedCommand("compare", {
  about: "the same function in each engine and in what people would use instead: starts, calls, memory",
  options: OPTIONS,
  help: `${SANDBOX_HELP}
  --peer=A,B         of ${PEER_NAMES.join(", ")}; default: all
  --rounds=N         starts of each, in turns; default 30
  --calls=N          warm calls after each start; default 50
  --living=N         how many of each are there when memory is measured; default 10`,
  more: "What this machine does not have is left out, and said so.",
  run: async (values, progress) =>
    runCompare({
      ...(await sandboxChoice(values)),
      peers: wordsOf("peer", values.peer, PEER_NAMES),
      rounds: repeatsOf("rounds", values.rounds),
      calls: repeatsOf("calls", values.calls),
      living: countOf("living", values.living),
      progress,
    }),
  format: formatTable,
  plot: (results) => plotTable(results, drawnOf),
});
