import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

import { type Logger, messageOf } from "@ol/common";
import type { WorkerConfig } from "@ol/config";
import type { InstallerTools } from "@ol/lambda";

type Environment = Readonly<Record<string, string | undefined>>;

/** About indexes, and how to reach them; nothing about where to install, or from which cache. */
const VARIABLES =
  /^(?:(?:PIP|UV)_(?:INDEX|INDEX_URL|EXTRA_INDEX_URL|DEFAULT_INDEX|FIND_LINKS|NO_INDEX|TRUSTED_HOST|INSECURE_HOST|DEFAULT_TIMEOUT|TIMEOUT|HTTP_TIMEOUT|RETRIES|HTTP_RETRIES|INDEX_STRATEGY|KEYRING_PROVIDER|PROXY|NATIVE_TLS|SYSTEM_CERTS|INDEX_[A-Z0-9_]+_(?:USERNAME|PASSWORD))|(?:HTTPS?|ALL|NO)_PROXY)$/iu;
const AUTHORITIES = ["PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"] as const;
const MOST_BYTES = 1024 * 1024;
const PROBE_MS = 20_000;
const ELF = "\u007fELF";

/** Looks up what the installer needs, with the rights of whoever starts the worker: it may give them up right afterwards. */
export const findPackageTools = async (
  environment: Environment,
  { pipMirror, packageTool }: Pick<WorkerConfig, "pipMirror" | "packageTool">,
  logger: Logger,
): Promise<InstallerTools> => {
  const uv = packageTool === "pip" ? undefined : await findUv(environment);
  return {
    ...(uv !== undefined && { uv }),
    tool: packageTool,
    environment: variablesOf(environment),
    settings: await readSettings(environment, logger),
    ...(pipMirror !== undefined && { onlyIndex: pipMirror }),
  };
};

const variablesOf = (environment: Environment): Record<string, string> =>
  Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) =>
      value !== undefined && VARIABLES.test(name) ? [[name, value]] : [],
    ),
  );

const readSettings = async (environment: Environment, logger: Logger): Promise<Record<string, string>> => {
  const home = environment["HOME"] ?? homedir();
  const config = environment["XDG_CONFIG_HOME"] ?? join(home, ".config");
  const places: Readonly<Record<string, readonly (string | undefined)[]>> = {
    "pip.conf": [
      environment["PIP_CONFIG_FILE"],
      join(config, "pip", "pip.conf"),
      join(home, ".pip", "pip.conf"),
      "/etc/xdg/pip/pip.conf",
      "/etc/pip.conf",
    ],
    "uv.toml": [environment["UV_CONFIG_FILE"], join(config, "uv", "uv.toml"), "/etc/uv/uv.toml"],
    netrc: [environment["NETRC"], join(home, ".netrc")],
    "ca.pem": AUTHORITIES.map((name) => environment[name]),
  };
  const found: Record<string, string> = {};
  for (const [name, paths] of Object.entries(places)) {
    const text = await firstOf(paths, logger);
    if (text !== undefined) found[name] = text;
  }
  return found;
};

const firstOf = async (
  paths: readonly (string | undefined)[],
  logger: Logger,
): Promise<string | undefined> => {
  for (const path of paths) {
    if (path === undefined || path === "") continue;
    try {
      const text = await readFile(path, "utf8");
      if (text.length <= MOST_BYTES) return text;
      logger.warn("a configuration file for packages is too large and not used", { path });
    } catch (error) {
      if (!["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? ""))
        logger.warn("a configuration file for packages cannot be read", { path, error: messageOf(error) });
    }
  }
  return undefined;
};

/** Not a launcher of some version manager, which does not work elsewhere: the program itself. */
const findUv = async (environment: Environment): Promise<FileHandle | undefined> => {
  let launcher = false;
  for (const directory of (environment["PATH"] ?? "").split(delimiter)) {
    const path = join(directory, "uv");
    const program = await openProgram(path);
    if (program !== undefined) return program;
    launcher ||= existsSync(path);
  }
  // Asked only where there is one: starting a Python takes longer than all else here.
  const ofPython = launcher ? await uvOfPython() : undefined;
  return ofPython === undefined ? undefined : openProgram(ofPython);
};

const uvOfPython = async (): Promise<string | undefined> => {
  try {
    const { stdout } = await promisify(execFile)("python3", ["-c", "import uv; print(uv.find_uv_bin())"], {
      timeout: PROBE_MS,
    });
    return stdout.trim();
  } catch {
    // It has none.
    return undefined;
  }
};

const openProgram = async (path: string): Promise<FileHandle | undefined> => {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    const { buffer } = await file.read(Buffer.alloc(ELF.length), 0, ELF.length, 0);
    if (buffer.toString("latin1") === ELF) return file;
  } catch {
    // Not there, or not for us: the next one.
  }
  await file?.close();
  return undefined;
};
