import { execFile } from "node:child_process";
import { lstatSync, readdirSync, readlinkSync } from "node:fs";
import { promisify } from "node:util";

const TOOL_MS = 60_000;
/** Kept from who is shut in: they have their own, or none. */
const NOT_SHARED: ReadonlySet<string> = new Set(["dev", "proc", "run", "sys", "tmp"]);

/** Runs a tool to its end; resolves to what it printed. */
export const runTool = async (command: string, args: readonly string[], cwd?: string): Promise<string> => {
  const { stdout } = await promisify(execFile)(command, [...args], {
    timeout: TOOL_MS,
    ...(cwd !== undefined && { cwd }),
  });
  return stdout.trim();
};

/** The first line of `command --version`; undefined if it is not installed. */
export const versionOf = async (command: string): Promise<string | undefined> => {
  try {
    return (await runTool(command, ["--version"])).split("\n")[0];
  } catch {
    // Not installed, which the caller says.
    return undefined;
  }
};

/** The top of this machine's files: directories that can be shared, and links between them. */
export const hostRoots = (): {
  directories: readonly string[];
  links: readonly (readonly [string, string])[];
} => {
  const directories: string[] = [];
  const links: (readonly [string, string])[] = [];
  for (const name of readdirSync("/").filter((entry) => !NOT_SHARED.has(entry))) {
    const found = lstatSync(`/${name}`);
    if (found.isSymbolicLink()) links.push([name, readlinkSync(`/${name}`)]);
    else if (found.isDirectory()) directories.push(`/${name}`);
  }
  return { directories, links };
};
