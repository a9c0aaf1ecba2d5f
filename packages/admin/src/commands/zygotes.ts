import { createReadStream, statSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";

import { type FitRecord, fitTree, parseTraceStart } from "@ol/lambda/fit";

import { usageError } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command, type Context } from "../cli/command.ts";
import type { Output } from "../cli/output.ts";
import { adminError } from "../errors.ts";
import { shown } from "../text.ts";

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

export const zygotesCommand: Command = {
  name: "zygotes",
  about: "make a tree of zygotes from a recorded trace",
  positionals: [
    { name: "action", about: "fit: prints the tree that would have served the trace best", required: true },
  ],
  options: {
    cluster: CLUSTER_OPTION,
    trace: { kind: "text", value: "FILE", about: "what a worker recorded: a JSON object on each line" },
    "memory-mb": {
      kind: "text",
      value: "N",
      about: `the most that the tree's zygotes may hold together; default ${DEFAULT_MEMORY_MB}`,
    },
  },
  async run(args, context) {
    const action = args.required("action");
    if (action !== "fit") throw usageError(`zygotes can only fit, not ${shown(action)}`);
    const trace = args.text("trace");
    if (trace === undefined) throw usageError("zygotes fit needs --trace=FILE");
    return fit(trace, args.wholeNumber("memory-mb", 1, MOST_MEMORY_MB) ?? DEFAULT_MEMORY_MB, context);
  },
};
