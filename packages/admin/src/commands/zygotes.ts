import { createReadStream, statSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";

import { type FitRecord, fitTree, parseTraceStart } from "@ol/lambda/fit";

import { type Arguments, usageError } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command, type Context, JSON_OPTION } from "../cli/command.ts";
import type { Output } from "../cli/output.ts";
import { openCluster } from "../cluster/discover.ts";
import type { ClusterPaths } from "../cluster/paths.ts";
import { adminError } from "../errors.ts";
import { shown } from "../text.ts";
import { urlOfConfig } from "../worker/address.ts";
import { ask } from "../worker/http.ts";
import { listWorkers } from "../worker/list.ts";
import { clusterFlag } from "./options.ts";
import { drawTree, type ZygoteTreeLine, type ZygoteUses, zygotesIn } from "./zygote-drawing.ts";

const DEFAULT_MEMORY_MB = 128;
const MOST_MEMORY_MB = 1_048_576;
/** Older starts are forgotten: what counts is how lambdas are called now, and memory. */
const MOST_STARTS = 100_000;
/** So many bad lines are named. */
const NAMED = 5;

interface Trace {
  readonly starts: readonly FitRecord[];
  readonly lines: number;
  readonly bad: number;
}

const readTrace = async (path: string, { cwd, output, signal }: Context): Promise<Trace> => {
  const file = resolve(cwd, path);
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats === undefined || stats.isDirectory())
    throw usageError(`--trace: there is no file ${shown(path)}`);
  const starts: FitRecord[] = [];
  let lines = 0;
  let bad = 0;
  const input = createReadStream(file, { signal });
  try {
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      lines += 1;
      if (line === "") continue;
      const start = parseTraceStart(line);
      if (typeof start === "string") {
        bad += 1;
        if (bad <= NAMED) output.message(`${path}:${lines}: skipped: ${start}`);
      } else if (start !== undefined) starts.push(start);
      if (starts.length > 2 * MOST_STARTS) starts.splice(0, starts.length - MOST_STARTS);
    }
  } finally {
    input.destroy();
  }
  return { starts: starts.slice(-MOST_STARTS), lines, bad };
};

const report = (output: Output, { starts, bad }: Trace): void => {
  if (bad > NAMED) output.message(`${bad} lines were skipped; these are the first ${NAMED}`);
  if (starts.length === MOST_STARTS) output.message(`only the last ${MOST_STARTS} starts were looked at`);
};

const fit = async (path: string, memoryMb: number, context: Context): Promise<number> => {
  const trace = await readTrace(path, context);
  report(context.output, trace);
  if (trace.starts.length === 0)
    throw adminError(
      "OL_ADMIN_EMPTY_TRACE",
      `${path} has no start of a sandbox with packages in ${trace.lines} lines: let the worker record some (trace in its configuration), and fit then`,
    );
  const fitted = fitTree(trace.starts, { memoryMb });
  context.output.json(fitted.tree);
  context.output.message(
    `${trace.starts.length} starts imported ${fitted.withoutMs.toFixed(1)} ms each without a zygote; with this tree ` +
      `it would be ${fitted.withMs.toFixed(1)} ms, for ${Math.ceil(fitted.memoryMb)} MB`,
  );
  return 0;
};

/** What the running workers say of their zygotes; those that do not answer are named. */
const askAll = async (args: Arguments, context: Context): Promise<readonly Told[]> => {
  const { paths } = await openCluster(args, context);
  const running = listWorkers(paths).filter(({ state }) => state === "running");
  if (running.length === 0) throw adminError("OL_ADMIN_NO_WORKER", noWorker(args, paths));
  return Promise.all(
    running.map(async (worker) => {
      const url = await urlOfConfig(worker.configFile);
      const reply = await ask(`${url}/stats`, { deadlineMs: ASK_MS, signal: context.signal });
      return { worker: worker.name, ...zygotesIn(worker.name, JSON.parse(reply.body.toString("utf8"))) };
    }),
  );
};

const show = async (args: Arguments, context: Context): Promise<number> => {
  const { output } = context;
  const told = await askAll(args, context);
  if (args.flag("json")) {
    output.json(told);
    return 0;
  }
  for (const { worker, uses, trees } of told) {
    const { hit, partial, miss } = uses;
    output.result(
      `${worker}: of the sandboxes with packages ${hit} were forked from a zygote with all of them, ${partial} with some, ${miss} with none`,
    );
    for (const tree of trees) {
      output.result("");
      output.result(
        `network ${tree.network}: ${Math.round(tree.usedMb)} MB of at most ${Math.round(tree.budgetMb)} MB`,
      );
      for (const line of drawTree(tree)) output.result(`  ${line}`);
      const excluded = Object.entries(tree.excluded);
      if (excluded.length > 0) output.result("  kept out of zygotes:");
      for (const [name, reason] of excluded) output.result(`    ${name}: ${reason}`);
    }
  }
  return 0;
};

interface Told {
  readonly worker: string;
  readonly uses: ZygoteUses;
  readonly trees: readonly ZygoteTreeLine[];
}

const ASK_MS = 5_000;

const noWorker = (args: Arguments, paths: ClusterPaths): string =>
  `no worker runs; start one with: npx ol-admin workers ${clusterFlag(args, paths)}`;

export const zygotesCommand: Command = {
  name: "zygotes",
  about: "draw the workers' zygotes, or make a tree of them from a recorded trace",
  positionals: [
    {
      name: "action",
      about:
        "show (default): draws the zygotes that there are; fit: prints the tree that would have served a trace best",
      required: false,
    },
  ],
  options: {
    cluster: CLUSTER_OPTION,
    json: JSON_OPTION,
    trace: { kind: "text", value: "FILE", about: "what a worker recorded: a JSON object on each line" },
    "memory-mb": {
      kind: "text",
      value: "N",
      about: `the most that the tree's zygotes may hold together; default ${DEFAULT_MEMORY_MB}`,
    },
  },
  async run(args, context) {
    const action = args.text("action") ?? "show";
    if (action === "show") return show(args, context);
    if (action !== "fit") throw usageError(`zygotes can show or fit, not ${shown(action)}`);
    const trace = args.text("trace");
    if (trace === undefined) throw usageError("zygotes fit needs --trace=FILE");
    return fit(trace, args.wholeNumber("memory-mb", 1, MOST_MEMORY_MB) ?? DEFAULT_MEMORY_MB, context);
  },
};
