import { checkLambdaName } from "@ol/bundle";

import { type Arguments, usageError } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command, type Context } from "../cli/command.ts";
import { openCluster } from "../cluster/discover.ts";
import { Follower, type LineSink, readAll } from "../logs/follow.ts";
import { scanLogs } from "../logs/sources.ts";
import { shown } from "../text.ts";

// A ULID; the runtime puts it and a blank before each line that is printed while an invocation runs.
const INVOCATION = /^[0-9A-HJKMNP-TV-Z]{26}$/u;
const INVOCATION_LENGTH = 26;

/** Prints the lines that are wanted. */
interface Printer {
  readonly sink: LineSink;
  /** How many it has printed. */
  lines: number;
  /** The invocation that alone is wanted. */
  readonly wanted: string | undefined;
}

const printerOf = (args: Arguments, context: Context): Printer => {
  const wanted = args.text("invocation")?.toUpperCase();
  if (wanted !== undefined && !INVOCATION.test(wanted))
    throw usageError(
      `--invocation must be an invocation's id of 26 characters, as in X-OL-Invocation-Id, not ${shown(wanted)}`,
    );
  const json = args.flag("json");
  const sink: LineSink = (line, { sandbox, stream }) => {
    const id = line.slice(0, INVOCATION_LENGTH);
    const invocation = line[INVOCATION_LENGTH] === " " && INVOCATION.test(id) ? id : undefined;
    if (wanted !== undefined && invocation !== wanted) return;
    printer.lines += 1;
    if (!json) return context.output.result(line);
    const text = invocation === undefined ? line : line.slice(INVOCATION_LENGTH + 1);
    return context.output.result(JSON.stringify({ sandbox, stream, invocation, text }));
  };
  const printer: Printer = { sink, lines: 0, wanted };
  return printer;
};

/** Why nothing was printed, as far as that can be known. */
const whyNothing = (name: string, wanted: string | undefined, sources: number): string | undefined => {
  if (sources === 0) return `${name} has written nothing yet, or was not called`;
  if (wanted === undefined) return undefined;
  return `there is nothing of this invocation of ${name}: it printed nothing, or is not kept any more (1 MB each of the last 100 sandboxes that ended)`;
};

export const logsCommand: Command = {
  name: "logs",
  about: "print what a lambda wrote to stdout and stderr",
  positionals: [{ name: "name", about: "the lambda", required: true }],
  options: {
    cluster: CLUSTER_OPTION,
    follow: { kind: "flag", alias: "f", about: "go on printing what is added; ctrl-C ends it" },
    invocation: {
      kind: "text",
      value: "ID",
      about: "only the lines of this invocation (X-OL-Invocation-Id of its reply)",
    },
    json: { kind: "flag", about: "print a JSON object for each line: sandbox, stream, invocation, text" },
  },
  async run(args, context) {
    const name = checkLambdaName(args.required("name"));
    const printer = printerOf(args, context);
    const { paths } = await openCluster(args, context);
    const scan = (): ReturnType<typeof scanLogs> => scanLogs(paths, name);
    if (!args.flag("follow")) {
      const now = scan();
      readAll(now, printer.sink);
      const why = whyNothing(name, printer.wanted, now.sources.length);
      if (printer.lines === 0 && why !== undefined) context.output.message(why);
      return 0;
    }
    return new Promise<number>((resolve, reject) => {
      const follower = new Follower(scan, printer.sink, (error) => {
        follower[Symbol.dispose]();
        reject(error);
      });
      context.signal.addEventListener(
        "abort",
        () => {
          follower[Symbol.dispose]();
          resolve(0);
        },
        { once: true },
      );
      follower.start();
    });
  },
};
