import { chmod, cp, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { CleanupStack, isOlError, systemReason } from "@ol/common";
import { writeJsonFile } from "@ol/config";

import type { Context } from "../cli/command.ts";
import type { ClusterPaths } from "../cluster/paths.ts";
import { adminError } from "../errors.ts";
import { type ProcessSession, livingOf, stopSession } from "../process/session.ts";
import type { CodeRegistry } from "../registry/code-registry.ts";
import { asClusterFlag, shown } from "../text.ts";
import { type Application, STATIC, lambdaOf } from "./application.ts";
import { type AppRecord, readRecord, removeRecord, stateDirectory, writeRecord } from "./record.ts";
import { SERVICE_GRACE_MS, runSetup } from "./setup.ts";

/** Serves the files beside it; see there. */
const PAGE_SERVER = fileURLToPath(new URL("../../python/static", import.meta.url));

/** What an application is put into. */
export interface Ground {
  readonly paths: ClusterPaths;
  readonly registry: CodeRegistry;
  /** Of a worker. */
  readonly url: string;
  readonly context: Pick<Context, "environment" | "signal">;
}

/** An application's own words for where it can be reached, written to static/config.json. */
interface PageConfig {
  /** Of a worker: for programs elsewhere. */
  readonly url: string;
  /** By handler: paths, since the page comes from the same worker, whatever name that was asked by. */
  readonly handlers: Readonly<Record<string, string>>;
}

const configOf = ({ name, handlers }: Application, url: string): PageConfig => ({
  url,
  handlers: Object.fromEntries(handlers.map((handler) => [handler, `/run/${lambdaOf(name, handler)}`])),
});

const pathOfPage = (page: string): string => join(page, "config.json");

/** Where nothing is asked: compiled files may be of another Python, and hidden ones are an editor's. */
const isCode = (path: string): boolean => !/(?:^|\/)(?:__pycache__|\.[^/]*)$/u.test(path);

const copy = async (from: string, to: string): Promise<void> => {
  await cp(from, to, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (path) => path === from || isCode(path),
  });
  // Whatever the mask of whoever made it: the worker may be another user.
  await chmod(to, 0o755);
};

/** Brings one application into a cluster, or out of it. The cluster's lock is held meanwhile. */
export class Deployment {
  readonly #ground: Ground;
  readonly #application: Application;
  #record: AppRecord;

  /** Fails with OL_ADMIN_BAD_APP if something else in the cluster has its name or the name of one of its lambdas. */
  static async prepare(ground: Ground, application: Application): Promise<Deployment> {
    const { name, directory } = application;
    const known = await readRecord(ground.paths, name);
    if (known !== undefined && known.directory !== directory)
      throw adminError(
        "OL_ADMIN_BAD_APP",
        `the cluster has an application ${name} already, from ${shown(known.directory)}; end that one first: npx ol-admin app ${known.directory} --down ${asClusterFlag(ground.paths.root)}`,
      );
    const record: AppRecord = known ?? { name, directory, lambdas: [], services: [] };
    const deployment = new Deployment(ground, application, record);
    for (const lambda of deployment.lambdas.filter((one) => !record.lambdas.includes(one)))
      if (await ground.registry.has(lambda))
        throw adminError(
          "OL_ADMIN_BAD_APP",
          `there is a lambda ${lambda} in ${ground.registry.place} that is not this application's; remove it: npx ol-admin remove ${lambda} ${asClusterFlag(ground.paths.root)}`,
        );
    return deployment;
  }

  private constructor(ground: Ground, application: Application, record: AppRecord) {
    this.#ground = ground;
    this.#application = application;
    this.#record = record;
  }

  /** The names that its lambdas have in the registry. */
  get lambdas(): readonly string[] {
    return this.#parts.map((part) => lambdaOf(this.#application.name, part));
  }

  /** Runs its setup.sh, then puts its lambdas into the registry. Fails as setup.sh does, and with OL_ADMIN_FILE. */
  async run(): Promise<void> {
    const { registry, url } = this.#ground;
    const { page } = this.#application;
    const stage = await registry.stage();
    await using undo = new CleanupStack();
    undo.add(() => registry.discard(stage));
    try {
      const config = configOf(this.#application, url);
      await this.#fill(stage, config);
      await this.#setUp(stage);
      if (page !== undefined) await writeJsonFile(pathOfPage(page), config);
      await this.#upload(stage);
    } catch (error) {
      if (isOlError(error) || this.#ground.context.signal.aborted) throw error;
      throw adminError(
        "OL_ADMIN_FILE",
        `cannot copy ${this.#application.directory}: ${systemReason(error)}`,
        {
          cause: error,
        },
      );
    }
  }

  get #parts(): readonly string[] {
    const { handlers, page } = this.#application;
    return page === undefined ? handlers : [...handlers, STATIC];
  }

  async #fill(stage: string, config: PageConfig): Promise<void> {
    const { directory, handlers, page } = this.#application;
    for (const handler of handlers) await copy(join(directory, "handlers", handler), join(stage, handler));
    if (page === undefined) return;
    const server = join(stage, STATIC);
    await mkdir(server);
    await copy(PAGE_SERVER, server);
    await copy(page, join(server, "files"));
    await writeJsonFile(join(server, "files", "config.json"), config);
  }

  async #setUp(stage: string): Promise<void> {
    const { name, directory, setup } = this.#application;
    if (setup === undefined) return;
    const { paths, url, context } = this.#ground;
    const before = this.#record.services.filter((service) => livingOf(service).length > 0);
    const left = await runSetup({
      program: setup,
      directory,
      environment: {
        ...context.environment,
        OL_URL: url,
        OL_APP: name,
        OL_STATE: stateDirectory(paths, name),
        OL_HANDLERS: stage,
      },
      outFile: join(paths.logs, `app-${name}.out`),
      signal: context.signal,
      started: (session) => this.#write({ services: [...before, session] }),
    });
    await this.#write({ services: left === undefined ? before : [...before, left] });
  }

  async #upload(stage: string): Promise<void> {
    const { registry } = this.#ground;
    const { name } = this.#application;
    const { lambdas } = this;
    const gone = this.#record.lambdas.filter((lambda) => !lambdas.includes(lambda));
    await this.#write({ lambdas: [...lambdas, ...gone] });
    for (const part of this.#parts) await registry.put(lambdaOf(name, part), join(stage, part));
    for (const lambda of gone) if (await registry.has(lambda)) await registry.remove(lambda);
    await this.#write({ lambdas });
  }

  async #write(change: Partial<AppRecord>): Promise<void> {
    this.#record = { ...this.#record, ...change };
    await writeRecord(this.#ground.paths, this.#record);
  }
}

/** Ends what an application's setup.sh started. Settles with how many processes that were. */
export const stopServices = async (
  paths: ClusterPaths,
  record: AppRecord,
  signal: AbortSignal,
): Promise<number> => {
  const stop = (service: ProcessSession): Promise<number> => stopSession(service, SERVICE_GRACE_MS, signal);
  const counts = await Promise.all(record.services.map(stop));
  if (record.services.length > 0) await writeRecord(paths, { ...record, services: [] });
  return counts.reduce((sum, count) => sum + count, 0);
};

/** Takes an application out of a cluster: its lambdas, its services, its state, and what was written into its directory. */
export const withdraw = async (
  { paths, registry, context }: Omit<Ground, "url">,
  record: AppRecord,
): Promise<void> => {
  for (const lambda of record.lambdas) if (await registry.has(lambda)) await registry.remove(lambda);
  await stopServices(paths, record, context.signal);
  await rm(pathOfPage(join(record.directory, STATIC)), { force: true });
  await removeRecord(paths, record.name);
};
