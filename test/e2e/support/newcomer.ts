import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, symlinkSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { onTestFinished } from "vitest";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const AS_ROOT = process.getuid?.() === 0;

/** Somebody who clones the repository: the environment of a login, and how commands become theirs. */
interface Newcomer {
  readonly home: string;
  /** Whom the clone is given to; undefined: whoever runs this. */
  readonly user?: string;
  readonly prefix: readonly string[];
  readonly network: Readonly<Record<string, string>>;
}

/** Settings without which npm does not get through a company's network. Not: whose cache and prefix it uses. */
const NPM_SETTINGS = ["registry", "cafile", "proxy", "https-proxy", "noproxy", "strict-ssl"];
const NETWORK_VARIABLE = /^((https?|all|no)_proxy|node_extra_ca_certs|ssl_cert_(file|dir)|(pip|uv)_\w+)$/i;

/** The way to the package registries: a newcomer has nothing of this machine's configuration but that. */
const wayToTheRegistry = (): Record<string, string> => {
  const inherited = Object.entries(process.env).filter(([name]) => NETWORK_VARIABLE.test(name));
  const npm = spawnSync("npm", ["config", "list", "--json"], { encoding: "utf8" });
  must(npm);
  const settings = JSON.parse(npm.stdout) as Readonly<Record<string, string | boolean | string[] | null>>;
  const named = NPM_SETTINGS.flatMap((key) => {
    const value = String(settings[key] ?? "");
    return value === "" ? [] : [[`npm_config_${key.replace("-", "_")}`, value]];
  });
  return Object.fromEntries([...inherited, ...named]) as Record<string, string>;
};

const run = (newcomer: Newcomer, cwd: string, command: readonly string[]): SpawnSyncReturns<string> => {
  const [program = "", ...args] = [...newcomer.prefix, ...command];
  const nodeDir = path.dirname(process.execPath);
  return spawnSync(program, args, {
    cwd,
    encoding: "utf8",
    timeout: 240_000,
    env: {
      ...newcomer.network,
      HOME: newcomer.home,
      PATH: `${nodeDir}:/usr/local/bin:/usr/bin:/bin`,
      LANG: "C.UTF-8",
    },
  });
};

const temporary = async (): Promise<string> => {
  const directory = await mkdtemp(path.join(tmpdir(), "ol-newcomer-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
};

export const whoRunsThis = async (): Promise<Newcomer> => ({
  home: await temporary(),
  prefix: [],
  network: wayToTheRegistry(),
});

export const ordinaryUser = async (): Promise<Newcomer> => {
  const home = await temporary();
  const name = `ol-test-${process.pid}`;
  must(spawnSync("useradd", ["--no-create-home", "--home-dir", home, name], { encoding: "utf8" }));
  onTestFinished(() => void spawnSync("userdel", [name]));
  must(spawnSync("chown", [name, home], { encoding: "utf8" }));
  const prefix = ["setpriv", `--reuid=${name}`, `--regid=${name}`, "--clear-groups"];
  return { home, user: name, prefix, network: wayToTheRegistry() };
};

/** The commands of a block of a page, without their comments. */
const commandsOf = (block: string): string[] =>
  block
    .trim()
    .split("\n")
    .map((line) => line.replace(/ {2,}#.*$/, ""));

/** The commands under "By hand" in README.md, without their comments. */
export const sequence = (): string[] => {
  const section = readFileSync(path.join(ROOT, "README.md"), "utf8").split("## By hand")[1] ?? "";
  return commandsOf(section.split("```")[1] ?? "");
};

/** All commands under one heading of quickstart/registry.md, in their order, without comments. */
export const registrySequence = (heading: string): string[] => {
  const page = readFileSync(path.join(ROOT, "quickstart/registry.md"), "utf8");
  const section = page.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  return section.split("```").flatMap((block, at) => (at % 2 === 1 ? commandsOf(block) : []));
};

/** Runs commands where `npx` finds this repository's programs, one after the other until one fails, in a network of their own. */
export const follow = (newcomer: Newcomer, commands: readonly string[]): string => {
  const folder = mkdtempSync(path.join(newcomer.home, "folder-"));
  for (const name of ["node_modules", "scripts", "quickstart"])
    symlinkSync(path.join(ROOT, name), path.join(folder, name));
  return text(run(newcomer, folder, inOwnNetwork(commands.join("\n"), newcomer)));
};

/** A network of its own, so that port 8080 is free whatever else runs here. Root's, or an ordinary user's. */
const inOwnNetwork = (command: string, newcomer: Newcomer): string[] => {
  const loopbackUp =
    "import fcntl,socket,struct;fcntl.ioctl(socket.socket(),0x8914,struct.pack('16sh14x',b'lo',1))";
  const script = `python3 -c "${loopbackUp}" && exec "$@"`;
  const unshare = AS_ROOT ? ["unshare", "--net"] : ["unshare", "--user", "--map-root-user", "--net"];
  return [...unshare, "sh", "-c", script, "sh", ...newcomer.prefix, "sh", "-ec", command];
};

/** What the ways of the README printed, stdout and stderr together, with the exit codes. */
export interface Transcript {
  readonly script: string;
  /** The example `requests`. */
  readonly example: string;
  readonly byHand: string;
}

/** Clones the repository and does what README.md says: by the script, an example with packages, and by hand. */
export const followTheReadme = (newcomer: Newcomer): Transcript => {
  const clone = path.join(newcomer.home, "openlambda");
  must(spawnSync("git", ["clone", "--quiet", "--no-hardlinks", ROOT, clone], { encoding: "utf8" }));
  if (newcomer.user !== undefined)
    must(spawnSync("chown", ["-R", newcomer.user, clone], { encoding: "utf8" }));

  const script = run(newcomer, clone, ["sh", "./quickstart/start.sh"]);
  // Without what it installs, npx would fetch a stranger's package of the same name.
  must(script);
  must(run(newcomer, clone, ["npx", "ol-admin", "kill", "--cluster=my-cluster"]));
  must(run(newcomer, clone, ["rm", "-r", "my-cluster"]));

  const example = run(newcomer, clone, ["sh", "./quickstart/examples.sh", "requests"]);
  const byHand = run({ ...newcomer, prefix: [] }, clone, inOwnNetwork(sequence().join("\n"), newcomer));
  return { script: text(script), example: text(example), byHand: text(byHand) };
};

const text = ({ stdout, stderr, status }: SpawnSyncReturns<string>): string =>
  `${stdout}${stderr}exit ${status ?? "by a signal"}`;

const must = (result: SpawnSyncReturns<string>): void => {
  if (result.status !== 0) throw new Error(text(result));
};
