import { readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

import { CleanupStack, isOlError, messageOf } from "@ol/common";
import { createLogger, identityToBecome, loadWorkerConfig, type WorkerConfig } from "@ol/config";
import {
  collectGarbage,
  type FiledLock,
  type GarbageReport,
  type InstalledPackage,
  type ListedPackage,
  listPackages,
  PackageShelf,
} from "@ol/lambda";
import { SandboxPool } from "@ol/sandbox";

import { localLocks } from "./code-parts.ts";
import type { PackageWork } from "./command-line.ts";
import { engineOf } from "./engines.ts";
import type { Outcome } from "./host-commands.ts";
import { codeDirOf, makePackageStore } from "./package-parts.ts";
import { findPackageTools } from "./package-tools.ts";
import { giveUpRoot } from "./privileges.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** A sandbox engine of its own, beside those of running workers; one at a time. */
const NAME = "packages";
const DAY_MS = 86_400_000;
const MIB = 1024 * 1024;

/**
 * Lists, installs or removes packages of the cluster, whether or not workers run. What a requirement is wrong about, or pip or
 * uv cannot do, is the outcome and no error. Fails as a worker's start does.
 */
export const packageWork = async (
  file: string,
  work: PackageWork,
  json: boolean,
  environment: Environment,
): Promise<Outcome> => {
  const config = await loadWorkerConfig(file, environment);
  switch (work.action) {
    case "list": {
      const listed = await listPackages(shelfOf(config), await locksOf(config, true));
      return printed(json, { packages: listed.map(shownPackage) }, () => listed.map(lineOfListed));
    }
    case "install":
      return install(config, work.lines, json, environment);
    default: {
      const { olderThanDays, dryRun } = work;
      const locks = await locksOf(config, dryRun);
      const options = { olderThanMs: olderThanDays * DAY_MS, dryRun };
      const report = await collectGarbage(shelfOf(config), locks, options);
      const value = { ...report, removed: report.removed.map(shownPackage) };
      return printed(json, value, () => linesOfReport(report, dryRun));
    }
  }
};

const shelfOf = ({ pkgsDir }: WorkerConfig): PackageShelf =>
  new PackageShelf({ packagesDir: pkgsDir, logger: createLogger({ output: "stderr", fields: {} }) });

const locksOf = (config: WorkerConfig, dryRun: boolean): Promise<readonly FiledLock[]> =>
  localLocks(config).all(dryRun, (name, error) =>
    process.stderr.write(`ol-worker: the lock ${name} cannot be read: ${messageOf(error)}\n`),
  );

const install = async (
  config: WorkerConfig,
  lines: readonly string[],
  json: boolean,
  environment: Environment,
): Promise<Outcome> => {
  try {
    const packages = await withStore(config, environment, (store) => store.install(lines));
    return printed(json, { packages: packages.map(installedFields) }, () => packages.map(({ id }) => id));
  } catch (error) {
    if (!isOlError(error)) throw error;
    if (json) return { text: `${JSON.stringify({ error: error.message })}\n`, exitCode: 1 };
    throw error;
  }
};

const withStore = async (
  config: WorkerConfig,
  environment: Environment,
  work: (
    store: ReturnType<typeof makePackageStore>,
  ) => Promise<{ readonly packages: readonly InstalledPackage[] }>,
): Promise<readonly InstalledPackage[]> => {
  const logger = createLogger({ output: "stderr", fields: {} });
  const own = { ...config, workerDir: join(dirname(config.workerDir), `.${NAME}`) };
  const undo = new CleanupStack();
  try {
    const identity = await identityToBecome(config);
    const tools = await findPackageTools(environment, config, logger);
    undo.add(() => tools.uv?.close());
    undo.add(() => emptied(codeDirOf(own)));
    const place = { workerName: NAME, forPackages: true };
    const { engine, reach, createMs } = await engineOf(own).make(own, identity, environment, logger, place);
    undo.add(() => engine.close());
    if (identity !== undefined && reach.kind !== "none")
      await giveUpRoot(identity, [], reach.kind === "group" ? reach.gid : undefined);
    // Whatever workers use besides: one sandbox at a time is what this takes.
    const pool = SandboxPool.create({ engine, memoryMb: config.installerLimits.memoryMb, createMs, logger });
    undo.add(() => pool.close());
    const store = makePackageStore(own, engine, pool, tools, localLocks(config), logger);
    undo.add(() => store[Symbol.asyncDispose]());
    return (await work(store)).packages;
  } finally {
    await undo.run();
  }
};

/** The directory itself may be in one that is not ours. */
const emptied = async (directory: string): Promise<void> => {
  for (const name of await readdir(directory))
    await rm(join(directory, name), { recursive: true, force: true });
};

const printed = (json: boolean, value: unknown, lines: () => readonly string[]): Outcome => ({
  text: json
    ? `${JSON.stringify(value, null, 2)}\n`
    : lines()
        .map((line) => `${line}\n`)
        .join(""),
  exitCode: 0,
});

const shownPackage = ({ usedMs, ...one }: ListedPackage): object => ({
  ...one,
  used: new Date(usedMs).toISOString(),
});

const installedFields = ({ name, version, id, directory }: InstalledPackage): object => ({
  name,
  version,
  id,
  directory,
});

const lineOfListed = ({ directory, bytes, lambdas }: ListedPackage): string =>
  `${directory}  ${megabytes(bytes)}  ${lambdas.join(" ") || "-"}`;

const linesOfReport = (
  { removed, bytes, kept, unfinished }: GarbageReport,
  dryRun: boolean,
): readonly string[] => [
  ...removed.map(({ directory }) => directory),
  `${dryRun ? "would remove" : "removed"} ${removed.length} packages (${megabytes(bytes)}) and ${unfinished} unfinished things; ${kept} stay`,
];

const megabytes = (bytes: number): string => `${(bytes / MIB).toFixed(1)} MB`;
