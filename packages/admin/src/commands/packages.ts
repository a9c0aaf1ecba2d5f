import { existsSync } from "node:fs";

import type { Arguments } from "../cli/arguments.ts";
import { usageError } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command, type Context, JSON_OPTION } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { openCluster } from "../cluster/discover.ts";
import type { ClusterPaths } from "../cluster/paths.ts";
import { adminError } from "../errors.ts";
import { escapeControls, formatAge, table } from "../text.ts";
import { hostWork } from "../worker/host-work.ts";

const ACTIONS = ["list", "install", "gc"] as const;
type Action = (typeof ACTIONS)[number];

const MOST_DAYS = 36_500;
const MIB = 1024 * 1024;

type Fields = Readonly<Record<string, unknown>>;

const fieldsOf = (value: unknown): Fields =>
  (typeof value === "object" && value !== null ? value : {}) as Fields;
const listOf = (value: unknown): readonly Fields[] => (Array.isArray(value) ? value.map(fieldsOf) : []);
const word = (value: unknown): string => (typeof value === "string" ? escapeControls(value) : "?");
const number = (value: unknown): number => (typeof value === "number" ? value : 0);

const megabytes = (bytes: unknown): string => `${(number(bytes) / MIB).toFixed(1)}MB`;

const ageOf = (used: unknown): string => {
  const ageMs = Date.now() - Date.parse(String(used));
  return Number.isNaN(ageMs) ? "?" : formatAge(ageMs);
};

/** Of the first worker, or what it will be made from: the packages are the cluster's. */
const configFileOf = (paths: ClusterPaths): string =>
  [paths.workerConfig(0), paths.template].find((file) => existsSync(file)) ?? paths.template;

const actionOf = (args: Arguments): Action => {
  const text = args.required("action");
  const action = ACTIONS.find((one) => one === text);
  if (action === undefined) throw usageError(`packages needs one of ${ACTIONS.join(", ")}`);
  if (action !== "install" && args.list("line").length > 0)
    throw usageError(`packages ${action} takes no requirements`);
  if (action !== "gc" && (args.text("older-than") !== undefined || args.flag("dry-run")))
    throw usageError("--older-than and --dry-run belong to packages gc");
  return action;
};

const printList = ({ output }: Context, packages: readonly Fields[]): void => {
  const rows = packages.map((one) => [
    word(one["name"]),
    word(one["version"]),
    megabytes(one["bytes"]),
    `used ${ageOf(one["used"])} ago`,
    one["compiled"] === true ? "compiled" : "not compiled",
    lambdasOf(one["lambdas"]),
  ]);
  for (const line of table(rows)) output.result(line);
  if (rows.length === 0)
    output.message("no packages are installed; the first call of a lambda that names some does it");
};

const lambdasOf = (value: unknown): string =>
  Array.isArray(value) && value.length > 0 ? `for ${value.map(word).join(" ")}` : "for no lambda";

const install = async (args: Arguments, context: Context, configFile: string): Promise<unknown> => {
  const lines = args.list("line");
  if (lines.length === 0)
    throw usageError("packages install needs a requirement such as numpy or numpy==2.1.*");
  const words = ["install", "--", ...lines];
  const report = await withProgress(
    context.output,
    `installing ${lines.map(escapeControls).join(" ")}`,
    hostWork(context, "packages", configFile, words),
  );
  const { error } = fieldsOf(report);
  if (typeof error === "string") throw adminError("OL_ADMIN_PACKAGES", error);
  return report;
};

const collect = (args: Arguments, context: Context, configFile: string): Promise<unknown> => {
  const days = args.wholeNumber("older-than", 1, MOST_DAYS);
  const words = [
    "gc",
    ...(days === undefined ? [] : [`--older-than=${days}`]),
    ...(args.flag("dry-run") ? ["--dry-run"] : []),
  ];
  return withProgress(
    context.output,
    "looking for packages that nobody uses",
    hostWork(context, "packages", configFile, words),
  );
};

const printReport = (args: Arguments, { output }: Context, report: Fields): void => {
  const removed = listOf(report["removed"]);
  for (const one of removed)
    output.result(`${word(one["name"])} ${word(one["version"])}  ${megabytes(one["bytes"])}`);
  const verb = args.flag("dry-run") ? "would be removed" : "removed";
  output.message(
    `${removed.length} packages ${verb} (${megabytes(report["bytes"])}), ${number(report["kept"])} stay; unfinished: ${number(report["unfinished"])}`,
  );
};

export const packagesCommand: Command = {
  name: "packages",
  about: "list the installed packages, install some in advance, or remove those that nobody uses (gc)",
  positionals: [
    { name: "action", about: "list, install or gc", required: true },
    { name: "line", about: "with install: a requirement such as numpy==2.1.*", required: false, many: true },
  ],
  options: {
    cluster: CLUSTER_OPTION,
    json: JSON_OPTION,
    "older-than": {
      kind: "text",
      value: "DAYS",
      about: "gc: what was used within this time stays; at least 1, default 30",
    },
    "dry-run": { kind: "flag", about: "gc: say what would be removed, and remove nothing" },
  },
  async run(args, context) {
    const action = actionOf(args);
    const { paths } = await openCluster(args, context);
    const configFile = configFileOf(paths);
    const report = fieldsOf(
      action === "list"
        ? await withProgress(context.output, "looking", hostWork(context, "packages", configFile, ["list"]))
        : await (action === "install" ? install : collect)(args, context, configFile),
    );
    if (args.flag("json")) context.output.json(report);
    else if (action === "gc") printReport(args, context, report);
    else if (action === "list") printList(context, listOf(report["packages"]));
    else
      for (const one of listOf(report["packages"]))
        context.output.result(`${word(one["name"])} ${word(one["version"])}`);
    return 0;
  },
};
