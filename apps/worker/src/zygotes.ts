import { lchown, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";

import { isOlError, type Logger, messageOf } from "@ol/common";
import { readJsonObject, type WorkerConfig, type WorkerIdentity, writeJsonFile } from "@ol/config";
import {
  GrowingTree,
  LEAST_BUDGET_MB,
  NoZygotes,
  parseZygoteTree,
  type StateStore,
  StaticTree,
  ZygoteKeeper,
  type ZygotePolicy,
} from "@ol/lambda";
import type { SandboxPool } from "@ol/sandbox";

/** Of the memory that sandboxes share, what zygotes may hold in each network class. */
const SHARE = 0.1;
/** How often the file of a tree is looked at. */
const LOOK_MS = 2_000;

/** The zygotes as the configuration wants them, with what an earlier worker of it knew. */
export const makeZygotes = async (
  config: WorkerConfig,
  pool: SandboxPool,
  logger: Logger,
): Promise<Zygotes> => {
  await removeHalfWritten(join(config.workerDir, DIRECTORY));
  const file = typeof config.importCacheTree === "string" ? config.importCacheTree : undefined;
  const first = file === undefined ? undefined : await readTree(file);
  const keeper = await ZygoteKeeper.create({
    pool,
    makePolicy: policyMaker(config, first ?? config.importCacheTree),
    ...(config.importCache === "auto" && { state: new StateFile(join(config.workerDir, DIRECTORY, STATE)) }),
    logger,
  });
  if (config.importCache !== "tree" || file === undefined) return { keeper, close: () => keeper.close() };
  const watching = new TreeFile(file, (tree) => keeper.replace(policyMaker(config, tree)), logger);
  return {
    keeper,
    async close() {
      await watching.close();
      await keeper.close();
    },
  };
};

/** A worker's zygotes, and what changes them. */
export interface Zygotes {
  readonly keeper: ZygoteKeeper;
  close(): Promise<void>;
}

/** Fails with OL_LAMBDA_BAD_ZYGOTE_TREE. */
const policyMaker = (config: WorkerConfig, tree: unknown): (() => ZygotePolicy) => {
  const budgetMb = Math.max(LEAST_BUDGET_MB, config.memPoolMb * SHARE);
  if (config.importCache === "off") return () => new NoZygotes();
  if (config.importCache === "auto") return () => new GrowingTree({ budgetMb });
  const plan = parseZygoteTree(tree ?? { packages: [], children: [] });
  return () => new StaticTree({ plan, budgetMb });
};

const readTree = (file: string): Promise<unknown> => readJsonObject(file);

/** Looks now and then whether the file of a tree was changed. One that cannot be used changes nothing. */
class TreeFile {
  readonly #file: string;
  readonly #use: (tree: unknown) => Promise<void>;
  readonly #logger: Logger;
  readonly #timer: NodeJS.Timeout;
  #looking: Promise<void> = Promise.resolve();
  #text: string | undefined;

  constructor(file: string, use: (tree: unknown) => Promise<void>, logger: Logger) {
    this.#file = file;
    this.#use = use;
    this.#logger = logger;
    this.#looking = this.#look(true);
    this.#timer = setInterval(() => void (this.#looking = this.#looking.then(() => this.#look())), LOOK_MS);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  async #look(first = false): Promise<void> {
    try {
      const text = await readFile(this.#file, "utf8");
      if (text === this.#text) return;
      this.#text = text;
      if (first) return;
      await this.#use(await readTree(this.#file));
      this.#logger.info("the tree of zygotes was read anew", { file: this.#file });
    } catch (error) {
      this.#logger.warn("the tree of zygotes cannot be read; the one before it stays", {
        error: messageOf(error),
      });
    }
  }
}

/** Where a worker writes down what it knows of zygotes, below its directory. */
const DIRECTORY = "import-cache";
const STATE = "zygotes.json";

/** Makes that place, for `identity` if this process is about to become somebody else. */
export const makeStatePlace = async (
  { workerDir }: WorkerConfig,
  identity: WorkerIdentity | undefined,
): Promise<void> => {
  const directory = join(workerDir, DIRECTORY);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  // Whatever is there, nothing is followed.
  if (identity !== undefined) await lchown(directory, identity.uid, identity.gid);
};

/** Removes what a worker left that was killed while it wrote the file down. */
const removeHalfWritten = async (directory: string): Promise<void> => {
  for (const name of await readdir(directory))
    if (name.startsWith(`${STATE}.tmp-`)) await rm(join(directory, name), { force: true });
};

/** A keeper's state in a file of JSON. */
class StateFile implements StateStore {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  async load(): Promise<unknown> {
    try {
      return await readJsonObject(this.#file);
    } catch (error) {
      if (isOlError(error, "OL_CONFIG_NOT_FOUND")) return undefined;
      throw error;
    }
  }

  save(state: unknown): Promise<void> {
    return writeJsonFile(this.#file, state, 0o600);
  }
}
