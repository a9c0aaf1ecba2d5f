import { createReadStream, statSync } from "node:fs";
import { resolve } from "node:path";
import type { Readable } from "node:stream";

import { parseReference } from "@ol/bundle";

import { usageError } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command, type Context } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { openCluster } from "../cluster/discover.ts";
import { adminError } from "../errors.ts";
import { escapeControls, shown } from "../text.ts";
import { ask } from "../worker/http.ts";
import { readyUrl } from "../worker/reach.ts";

/** A call waits in queues and runs; the worker's own limits end it long before. */
const DEFAULT_TIMEOUT_SEC = 900;
const LONGEST_TIMEOUT_SEC = 90_000;

const fileBody = (context: Context, path: string): Readable => {
  const file = resolve(context.cwd, path);
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats === undefined || stats.isDirectory()) throw usageError(`--data: there is no file ${shown(path)}`);
  return createReadStream(file);
};

/** `-d JSON`, `-d @FILE`, `-d -`; no `-d` is no body, which is the event {}. */
const bodyOf = (data: string | undefined, context: Context): Buffer | Readable | undefined => {
  if (data === undefined) return undefined;
  if (data === "-") return context.input;
  return data.startsWith("@") ? fileBody(context, data.slice(1)) : Buffer.from(data);
};

const printBody = (context: Context, body: Buffer): void => {
  context.output.bytes(body);
  if (body.length > 0 && body.at(-1) !== 0x0a) context.output.bytes(Buffer.from("\n"));
};

export const invokeCommand: Command = {
  name: "invoke",
  about: "call a lambda and print its reply",
  positionals: [{ name: "name", about: "the lambda", required: true }],
  options: {
    cluster: CLUSTER_OPTION,
    data: {
      kind: "text",
      alias: "d",
      value: "JSON",
      about: "the event: JSON, @FILE, or - for standard input; default {}",
    },
    timeout: {
      kind: "text",
      value: "SECONDS",
      about: `give up after this time; default ${DEFAULT_TIMEOUT_SEC}`,
    },
  },
  async run(args, context) {
    const name = args.required("name");
    parseReference(name);
    const seconds = args.wholeNumber("timeout", 1, LONGEST_TIMEOUT_SEC) ?? DEFAULT_TIMEOUT_SEC;
    const body = bodyOf(args.text("data"), context);
    const { paths } = await openCluster(args, context);
    const url = await readyUrl(paths, context);
    const call = ask(`${url}/run/${name}`, {
      method: "POST",
      ...(body === undefined ? {} : { body }),
      deadlineMs: seconds * 1000,
      signal: context.signal,
    }).catch((error: unknown) => {
      if (context.signal.aborted) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw adminError("OL_ADMIN_CALL_FAILED", `${name} at ${url} did not answer: ${escapeControls(why)}`, {
        cause: error,
      });
    });
    const reply = await withProgress(context.output, `calling ${name}`, call);
    if (reply.status < 400) {
      printBody(context, reply.body);
      return 0;
    }
    const words = reply.body.toString("utf8").trimEnd().split("\n").map(escapeControls).join("\n");
    throw adminError(
      "OL_ADMIN_CALL_FAILED",
      `${name} answered ${reply.status} ${escapeControls(reply.statusText)}:\n${words}`,
    );
  },
};
