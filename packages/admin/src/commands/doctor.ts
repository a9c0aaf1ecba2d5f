import { existsSync } from "node:fs";
import { arch, release } from "node:os";

import { usableMemoryMb } from "@ol/config";
import { isOlError } from "@ol/common";

import type { Arguments } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command, type Context, JSON_OPTION } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { findClusterDirectory } from "../cluster/discover.ts";
import { clusterPaths } from "../cluster/paths.ts";
import { escapeControls } from "../text.ts";
import { hostWork } from "../worker/host-work.ts";

interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

interface Enforcement {
  readonly words: readonly string[];
  readonly notes: readonly string[];
}

const OLDEST_NODE = [20, 19] as const;

const checkNode = (version: string): Check => {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const ok = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);
  return {
    name: "node",
    ok,
    detail: ok ? version : `Node ${OLDEST_NODE.join(".")} or newer is needed, and this is ${version}`,
  };
};

const asRecord = (value: unknown): Record<string, unknown> =>
  (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;

const word = (value: unknown): string =>
  escapeControls(typeof value === "string" ? value : (JSON.stringify(value) ?? "?"));

/** The checks in what `ol-worker doctor --json` prints; `optional`: of what a worker can do without. */
export const checksIn = (report: unknown, kind: "checks" | "optional" = "checks"): readonly Check[] => {
  const list: unknown = asRecord(report)[kind];
  if (!Array.isArray(list)) return [];
  return list.map((item: unknown) => {
    const { name, ok, detail } = asRecord(item);
    return { name: word(name), ok: ok === true, detail: word(detail) };
  });
};

const enforcementIn = (report: unknown): Enforcement => {
  const { notes, ...rest } = asRecord(asRecord(report)["enforcement"]);
  return {
    words: Object.entries(rest).map(([key, value]) => `${key}: ${word(value)}`),
    notes: Array.isArray(notes) ? notes.map((note: unknown) => word(note)) : [],
  };
};

/** The first worker's configuration, or what it will be made from, if a cluster is named or found: it names the base. */
const configFileOf = (args: Arguments, context: Context): string | undefined => {
  try {
    const paths = clusterPaths(findClusterDirectory(args, context));
    return [paths.workerConfig(0), paths.template].find((file) => existsSync(file));
  } catch (error) {
    // doctor looks at the machine, and is of use before there is a cluster.
    if (isOlError(error, "OL_ADMIN_NO_CLUSTER") && args.text("cluster") === undefined) return undefined;
    throw error;
  }
};

const print = (context: Context, checks: readonly Check[], report: unknown): void => {
  const optional = checksIn(report, "optional");
  const { words, notes } = enforcementIn(report);
  const width = Math.max(...[...checks, ...optional].map(({ name }) => name.length));
  const line = ({ name, ok, detail }: Check, otherwise: string): void =>
    context.output.result(`${ok ? "ok  " : otherwise}  ${name.padEnd(width)}  ${detail}`);
  for (const check of checks) line(check, "FAIL");
  for (const check of optional) line(check, "--  ");
  if (words.length > 0) context.output.result(`limits enforced by  ${words.join(", ")}`);
  for (const note of notes) context.output.result(`note  ${note}`);
};

export const doctorCommand: Command = {
  name: "doctor",
  about: "say what this machine lacks, and how to mend it",
  options: { cluster: CLUSTER_OPTION, json: JSON_OPTION },
  async run(args, context) {
    const report = await withProgress(
      context.output,
      "looking at this machine",
      hostWork(context, "doctor", configFileOf(args, context)),
    );
    const machine: Check = {
      name: "system",
      ok: true,
      detail: `Linux ${release()} on ${arch()}, ${usableMemoryMb()} MiB of memory`,
    };
    const checks = [checkNode(process.versions.node), machine, ...checksIn(report)];
    if (args.flag("json")) context.output.json({ ...asRecord(report), checks });
    else print(context, checks, report);
    return checks.every(({ ok }) => ok) ? 0 : 1;
  },
};
