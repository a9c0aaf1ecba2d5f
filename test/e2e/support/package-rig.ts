import { readdirSync, renameSync, rmSync, writeFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";

import { onTestFinished } from "vitest";

import { PackageIndex } from "../../../packages/lambda/test/support/package-index/package-index.ts";
import type { PackageStats } from "../../../packages/lambda/src/index.ts";
import type { Distribution } from "../../../packages/lambda/test/support/package-index/wheel.ts";
import { type Client, type TestReply, agentClient } from "../../../packages/worker/test/http/clients.ts";
import { startWorkerProcess, type WorkerProcess } from "../../../packages/worker/test/http/worker-process.ts";

/** What tests set of the machine's own, so that no package ever comes from anywhere but the index of the test. */
const NO_TOOLS_OF_THE_MACHINE: Readonly<Record<string, string | undefined>> = Object.fromEntries(
  Object.keys(process.env)
    .filter((name) => /^(?:PIP|UV)_/u.test(name))
    .map((name) => [name, undefined]),
);

/** Where the tools' own patience with an index is not what is tested. */
export const IMPATIENT = { UV_HTTP_RETRIES: "0", PIP_RETRIES: "0" };

export interface PackageRigOptions {
  readonly distributions?: readonly Distribution[];
  /** `USER:PASSWORD` that the index wants; the worker has them in `pip_mirror`, unless the configuration says otherwise. */
  readonly credentials?: string;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly wrapper?: readonly string[];
}

/** A worker process whose packages come from an index of the test's, and an everyday client. */
export class PackageRig {
  readonly index: PackageIndex;
  worker: WorkerProcess;
  readonly #options: PackageRigOptions;
  readonly #client: Client = agentClient();

  /** Gone after the test. */
  static async start(options: PackageRigOptions = {}): Promise<PackageRig> {
    const index = await PackageIndex.start(options.distributions, options.credentials);
    onTestFinished(() => index[Symbol.asyncDispose]());
    const rig = new PackageRig(index, await launch(index, options), options);
    onTestFinished(async () => {
      await rig.#client.close();
      await rig.worker.close();
    });
    return rig;
  }

  private constructor(index: PackageIndex, worker: WorkerProcess, options: PackageRigOptions) {
    this.index = index;
    this.worker = worker;
    this.#options = options;
  }

  /** Starts another worker in the directory of one that has ended. */
  async restart(): Promise<void> {
    this.worker = await launch(this.index, this.#options, this.worker);
  }

  /** Puts a lambda into the registry, or newer code in the place of one. */
  lambda(name: string, requirements: string, python: string): void {
    const directory = join(this.worker.registryDir, name);
    const fresh = join(this.worker.directory, `${name}.new`);
    mkdirSync(fresh);
    writeFileSync(join(fresh, "requirements.txt"), requirements);
    writeFileSync(join(fresh, "f.py"), python);
    rmSync(directory, { recursive: true, force: true });
    renameSync(fresh, directory);
  }

  /** A lambda that returns an expression with these modules. */
  imports(name: string, requirements: string, expression: string, modules = "ol_plain"): void {
    this.lambda(name, requirements, `import ${modules}\ndef f(event):\n    return ${expression}\n`);
  }

  call(name: string, event: unknown = {}): Promise<TestReply> {
    const body = JSON.stringify(event);
    return this.#client.send(this.worker.port, { method: "POST", path: `/run/${name}`, body });
  }

  /** Status and text. */
  async ask(name: string): Promise<readonly [number, string]> {
    const { status, body } = await this.call(name);
    return [status, body.toString()];
  }

  async page<Value>(path: string): Promise<Value> {
    return JSON.parse(await this.text(path)) as Value;
  }

  async text(path: string): Promise<string> {
    const { body } = await this.#client.send(this.worker.port, { method: "GET", path });
    return body.toString();
  }

  /** What the worker says of its packages. */
  async stats(): Promise<PackageStats> {
    return (await this.page<{ readonly packages: PackageStats }>("/stats")).packages;
  }

  get packagesDir(): string {
    return join(this.worker.directory, "packages");
  }

  /** The names of the packages that are installed, sorted. */
  installed(): string[] {
    return this.#entries().filter((name) => !name.startsWith("."));
  }

  /** What lies among the packages and is none. */
  unfinished(): string[] {
    return this.#entries().filter((name) => name.startsWith("."));
  }

  #entries(): string[] {
    return readdirSync(this.packagesDir).flatMap((python) =>
      readdirSync(join(this.packagesDir, python)).sort(),
    );
  }
}

const launch = (
  { url, port }: PackageIndex,
  { credentials, config, environment, wrapper = [] }: PackageRigOptions,
  before?: WorkerProcess,
): Promise<WorkerProcess> => {
  const mirror = credentials === undefined ? url : `http://${credentials}@127.0.0.1:${port}/simple/`;
  return startWorkerProcess({ pip_mirror: mirror, registry_cache_ms: 300, ...config }, before, {
    environment: { ...NO_TOOLS_OF_THE_MACHINE, ...environment },
    wrapper,
  });
};
