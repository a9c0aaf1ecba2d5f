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

const sinkOf = (args: Arguments, context: Context): LineSink => {
  const wanted = args.text("invocation")?.toUpperCase();
  if (wanted !== undefined && !INVOCATION.test(wanted))
    throw usageError(
      `--invocation must be an invocation's id of 26 characters, as in X-OL-Invocation-Id, not ${shown(wanted)}`,
    );
  const json = args.flag("json");
  return (line, { sandbox, stream }) => {
    const id = line.slice(0, INVOCATION_LENGTH);
    const invocation = line[INVOCATION_LENGTH] === " " && INVOCATION.test(id) ? id : undefined;
    if (wanted !== undefined && invocation !== wanted) return;
    if (!json) return context.output.result(line);
    const text = invocation === undefined ? line : line.slice(INVOCATION_LENGTH + 1);
    return context.output.result(JSON.stringify({ sandbox, stream, invocation, text }));
  };
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
    const sink = sinkOf(args, context);
    const { paths } = await openCluster(args, context);
    const scan = (): ReturnType<typeof scanLogs> => scanLogs(paths, name);
    if (!args.flag("follow")) {
      const now = scan();
      readAll(now, sink);
      if (now.sources.length === 0)
        context.output.message(`${name} has written nothing yet, or was not called`);
      return 0;
    }
    return new Promise<number>((resolve, reject) => {
      const follower = new Follower(scan, sink, (error) => {
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
