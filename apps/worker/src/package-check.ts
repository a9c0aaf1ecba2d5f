import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { messageOf, silentLogger } from "@ol/common";
import type { WorkerConfig } from "@ol/config";
import type { InstallerTools } from "@ol/lambda";
import { findPython, type HostCheck } from "@ol/sandbox";

import { findPackageTools } from "./package-tools.ts";

type Environment = Readonly<Record<string, string | undefined>>;
type Config = Pick<WorkerConfig, "pipMirror" | "packageTool" | "basePath">;

const PROBE_MS = 20_000;
const ASK_PIP = "import importlib.metadata as m; print(m.version('pip'))";
/** The first whose output the installer reads. */
const OLDEST_PIP = [22, 2] as const;
const PUBLIC_INDEX = "the public one (PyPI)";
const ADVICE = "install one (Debian: apt-get install python3-pip), or lambdas that name packages cannot run";
const DEFAULTS: Config = { packageTool: "auto" };

/** Whether packages can be installed: by what, and from where. */
export const checkPackages = async (
  config: Config | undefined,
  environment: Environment,
): Promise<HostCheck> => {
  const name = "packages";
  try {
    const tools = await findPackageTools(environment, config ?? DEFAULTS, silentLogger);
    try {
      const tool = await toolOf(tools, config ?? DEFAULTS);
      const detail = tool === undefined ? `there is neither uv nor pip 22.2 or newer; ${ADVICE}` : tool;
      return { name, ok: tool !== undefined, detail: `${detail}; index: ${indexOf(tools)}` };
    } finally {
      await tools.uv?.close();
    }
  } catch (error) {
    return { name, ok: false, detail: messageOf(error) };
  }
};

/** What will do it, in a few words. */
const toolOf = async ({ uv, tool }: InstallerTools, { basePath }: Config): Promise<string | undefined> => {
  if (uv !== undefined) return output(`/proc/${process.pid}/fd/${uv.fd}`, ["--version"]);
  if (tool === "uv") return undefined;
  // Whether another root file system has pip shows when it is used.
  if (basePath !== undefined) return "pip, if the base has it";
  const version = await output((await findPython()).path, ["-c", ASK_PIP]).catch(() => undefined);
  const [major = 0, minor = 0] = (version ?? "").split(".").map(Number);
  const isNew = major > OLDEST_PIP[0] || (major === OLDEST_PIP[0] && minor >= OLDEST_PIP[1]);
  return isNew ? `pip ${version}; uv, where it is installed, is several times as fast` : undefined;
};

const output = async (program: string, args: readonly string[]): Promise<string> =>
  (await promisify(execFile)(program, [...args], { timeout: PROBE_MS })).stdout.trim();

/** Where packages come from, without a user or a password. */
const indexOf = ({ onlyIndex, environment, settings }: InstallerTools): string => {
  const configured = /^\s*index[-_]url\s*[=:]\s*(?<url>\S+)/mu.exec(settings["pip.conf"] ?? "")?.groups?.[
    "url"
  ];
  const { UV_DEFAULT_INDEX, UV_INDEX_URL, PIP_INDEX_URL } = environment;
  const url = onlyIndex ?? UV_DEFAULT_INDEX ?? UV_INDEX_URL ?? PIP_INDEX_URL ?? configured;
  if (url === undefined) return settings["uv.toml"] === undefined ? PUBLIC_INDEX : "as uv.toml says";
  return url.replace(/\/\/[^/@]*@/u, "//");
};
