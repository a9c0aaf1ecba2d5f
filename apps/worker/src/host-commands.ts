import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { isOlError } from "@ol/common";
import { loadWorkerConfig, type WorkerConfig, type WorkerIdentity, workerIdentity } from "@ol/config";
import { type HostCheck, type HostReport, inspectBase } from "@ol/sandbox";

import { checkRegistry } from "./code-parts.ts";
import { engineOf } from "./engines.ts";
import { checkPackages } from "./package-check.ts";
import { codeDirOf } from "./package-parts.ts";

// Where the system's own programs are, whatever a worker's PATH says.
const SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin";

type Environment = Readonly<Record<string, string | undefined>>;

/** What a command prints, and how it exits. */
export interface Outcome {
  readonly text: string;
  readonly exitCode: number;
}

const printed = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** Removes what a dead worker of this configuration left behind. Fails with OL_SANDBOX_DIRECTORY_IN_USE while it lives. */
export const sweep = async (file: string, json: boolean, environment: Environment): Promise<Outcome> => {
  const config = await loadWorkerConfig(file, environment);
  const report = await engineOf(config).sweep(config, environment);
  // The copies of the lambdas' code, which nobody runs any more.
  // By rm, which follows no link that its owner, who may not be us, puts in its way.
  await promisify(execFile)("rm", ["-rf", "--one-file-system", "--", codeDirOf(config)], {
    env: { PATH: SYSTEM_PATH },
  });
  return { text: json ? printed(report) : `removed ${report.removed} leftovers\n`, exitCode: 0 };
};

const userDetail = ({ name, uid }: WorkerIdentity): string =>
  uid === 0
    ? "root: a worker started by root keeps root's rights, since the cluster directory is root's; give the directory to another user, or set worker_user"
    : `a worker started by root becomes ${name}, and only the sandbox engine keeps root`;

/** What the configuration says, or why it cannot be read. */
const checkConfig = async (
  file: string,
  environment: Environment,
): Promise<{ readonly config?: WorkerConfig; readonly checks: readonly HostCheck[] }> => {
  try {
    const config = await loadWorkerConfig(file, environment);
    const user = { name: "worker_user", ok: true, detail: userDetail(await workerIdentity(config)) };
    return { config, checks: [{ name: "configuration", ok: true, detail: file }, user] };
  } catch (error) {
    if (!isOlError(error)) throw error;
    return { checks: [{ name: "configuration", ok: false, detail: error.message }] };
  }
};

const asText = ({ checks, optional = [], enforcement }: HostReport): string => {
  const lines = checks.map(({ name, ok, detail }) => `${ok ? "ok  " : "FAIL"} ${name}: ${detail}`);
  lines.push(...optional.map(({ name, ok, detail }) => `${ok ? "ok  " : "--  "} ${name}: ${detail}`));
  if (enforcement !== undefined) {
    const { memory, procs, cpu, scratch, pause, rootless, notes } = enforcement;
    lines.push(
      `     limits: memory ${memory}, procs ${procs}, cpu ${cpu}, scratch ${scratch}; ${rootless ? "rootless" : "root"}`,
      `     pausing: ${pause}`,
    );
    lines.push(...notes.map((note) => `     ${note}`));
  }
  return `${lines.join("\n")}\n`;
};

/** Says what this machine lacks; the exit code is 1 if it lacks anything. */
export const doctor = async (
  file: string | undefined,
  json: boolean,
  environment: Environment,
): Promise<Outcome> => {
  const { config, checks } = file === undefined ? { checks: [] } : await checkConfig(file, environment);
  const found = await engineOf(config).inspect(config, environment);
  const optional = [...(found.optional ?? []), await checkPackages(config, environment)];
  const registry = await checkRegistry(config);
  const report = {
    ...found,
    optional,
    checks: [...found.checks, ...checks, ...(registry === undefined ? [] : [registry])],
  };
  const exitCode = report.checks.every((check) => check.ok) ? 0 : 1;
  return { text: json ? printed(report) : asText(report), exitCode };
};

/** Says whether sandboxes run on the base, this machine's own without a configuration; the exit code is 1 if they do not. */
export const checkBase = async (
  file: string | undefined,
  json: boolean,
  environment: Environment,
): Promise<Outcome> => {
  const baseDir = file === undefined ? undefined : (await loadWorkerConfig(file, environment)).basePath;
  const report = await inspectBase(baseDir === undefined ? {} : { baseDir });
  const exitCode = report.checks.every((check) => check.ok) ? 0 : 1;
  return { text: json ? printed({ base: baseDir ?? null, ...report }) : asText(report), exitCode };
};
