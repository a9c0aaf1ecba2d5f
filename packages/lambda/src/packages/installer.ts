import { type FileHandle, copyFile, chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import type { Pin } from "@ol/bundle";
import { isOlError, type Logger, type NetworkClass, type OlError, type SandboxLimits } from "@ol/common";
import type { KeepOutcome, Sandbox, SandboxPool, SandboxSpec } from "@ol/sandbox";

import { lambdaError } from "../errors.ts";

/** What an installer is made from. */
export interface InstallerOptions {
  readonly pool: SandboxPool;
  /** The sandbox engine's `codeDir`: the installer's own code lies there beside that of lambdas. */
  readonly codeDir: string;
  readonly limits: InstallerLimits;
  /** Of the sandboxes that install: where the index is to be reached. */
  readonly network: NetworkClass;
  /** Variables for pip and uv, such as PIP_INDEX_URL. No lambda ever sees them. */
  readonly environment: Readonly<Record<string, string>>;
  /** Configuration files of pip and uv: pip.conf, uv.toml, netrc, ca.pem. No lambda ever sees them. */
  readonly settings: Readonly<Record<string, string>>;
  /** The program uv, open; undefined if there is none: pip does its work. Stays open. */
  readonly uv?: FileHandle;
  /** Whether packages are built from source where there is no wheel. */
  readonly source?: boolean;
  readonly logger: Logger;
}

export interface InstallerLimits {
  readonly procs: number;
  readonly memoryMb: number;
  readonly runtimeSec: number;
  readonly scratchMb: number;
}

/** What the installer says of one package. */
export type InstallOutcome =
  | { readonly ok: true; readonly bytes: number; readonly modules: readonly string[] }
  | { readonly ok: false; readonly kind: InstallerFault; readonly reason: string };

/** See python/installer/f.py. */
export type InstallerFault = "unsatisfiable" | "mismatch" | "unreachable" | "failed" | "no-tool";

type Answer<Result> =
  | ({ readonly ok: true } & Result)
  | { readonly ok: false; readonly kind: InstallerFault; readonly reason: string };

/** No lambda's directory: those are NAME@DIGEST. */
const CODE = ".installer";
/** Scratch and logs are filed under it. */
const NAME = "ol-installer";
const PROGRAM = fileURLToPath(new URL("../../python/installer/f.py", import.meta.url));
const ACQUIRE_MS = 60_000;
const LOG_MB = 8;
const CPU_PERCENT = 400;

/**
 * Resolves, installs and compiles packages, each in a sandbox of its own: nothing of an index or a package is trusted with
 * more than the directory that it makes.
 */
export class Installer {
  readonly #options: InstallerOptions;
  #prepared: Promise<void> | undefined;

  constructor(options: InstallerOptions) {
    this.#options = options;
  }

  /** Whether packages may be built from source. */
  get source(): boolean {
    return this.#options.source ?? false;
  }

  /** A sandbox for one piece of work; its cache ends with it. Fails with OL_LAMBDA_PACKAGES_UNAVAILABLE. */
  async open(): Promise<InstallerSession> {
    this.#prepared ??= this.#prepare();
    try {
      await this.#prepared;
      const sandbox = await this.#options.pool.acquire(this.#spec(), { deadlineMs: ACQUIRE_MS });
      return new InstallerSession(sandbox, this.#options, this.source);
    } catch (error) {
      this.#prepared = undefined;
      throw unavailable("no sandbox could be had to install packages in", error);
    }
  }

  async #prepare(): Promise<void> {
    const { codeDir, uv } = this.#options;
    const directory = join(codeDir, CODE);
    await mkdir(directory, { recursive: true, mode: 0o755 });
    await copyFile(PROGRAM, join(directory, "f.py"));
    if (uv === undefined) return;
    const program = join(directory, "uv");
    await writeFile(program, uv.createReadStream({ start: 0, autoClose: false }));
    await chmod(program, 0o755);
  }

  #spec(): SandboxSpec {
    const { limits, network, environment, pool } = this.#options;
    return {
      name: NAME,
      code: CODE,
      network,
      environment,
      scratchOnDisk: true,
      limits: {
        memoryMb: Math.min(limits.memoryMb, Math.floor(pool.stats().memoryMb)),
        procs: limits.procs,
        scratchMb: limits.scratchMb,
        swappiness: 0,
        cpuPercent: CPU_PERCENT,
        logMb: LOG_MB,
      } satisfies SandboxLimits,
    };
  }
}

/** One sandbox of the installer's. What uv or pip download is kept for as long as it lives. */
export class InstallerSession implements AsyncDisposable {
  readonly #sandbox: Sandbox;
  readonly #options: InstallerOptions;
  readonly #source: boolean;
  readonly #endMs: number;

  constructor(sandbox: Sandbox, options: InstallerOptions, source: boolean) {
    this.#sandbox = sandbox;
    this.#options = options;
    this.#source = source;
    this.#endMs = performance.now() + options.limits.runtimeSec * 1_000;
  }

  /** What requirement lines come to. Fails with OL_LAMBDA_BAD_PACKAGES or OL_LAMBDA_PACKAGES_UNAVAILABLE. */
  async resolve(lines: readonly string[]): Promise<readonly Pin[]> {
    const { pins } = await this.#call<{ readonly pins: readonly Pin[] }>("resolve", { lines });
    return pins;
  }

  /** Downloads and unpacks; each pin into its directory, which `keep` then puts in its place. */
  async install(
    pins: readonly (Pick<Pin, "name" | "version" | "hashes"> & { readonly directory: string })[],
  ): Promise<readonly InstallOutcome[]> {
    const { results } = await this.#call<{ readonly results: readonly InstallOutcome[] }>("install", {
      pins,
    });
    return results;
  }

  /** Compiles an installed package's modules. */
  async compile(directory: string): Promise<void> {
    await this.#call("compile", { directory });
  }

  /** Ends it, and puts directories that it made among the packages. */
  keep(
    orders: readonly { readonly source?: string; readonly target: string; readonly merge?: boolean }[],
  ): Promise<readonly KeepOutcome[]> {
    return this.#sandbox.keep(
      orders.map(({ source, target, merge = false }) => ({
        source: source === undefined ? OUT : `${OUT}/${source}`,
        target,
        merge,
      })),
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#sandbox.destroy();
  }

  async #call<Result>(op: string, fields: Readonly<Record<string, unknown>>): Promise<Result> {
    const answer = await this.#answer<Result>(op, fields);
    if (answer.ok) return answer;
    throw installerError(answer.kind, answer.reason);
  }

  async #answer<Result>(op: string, fields: Readonly<Record<string, unknown>>): Promise<Answer<Result>> {
    const { settings, logger } = this.#options;
    const event = { op, settings, source: this.#source, ...fields };
    const timeoutMs = Math.max(1, Math.ceil(this.#endMs - performance.now()));
    try {
      const { failure, body } = await this.#sandbox.call({
        invocationId: `${NAME}-${op}`,
        timeoutMs,
        body: Buffer.from(JSON.stringify(event)),
      });
      if (failure === undefined) return JSON.parse(body.toString("utf8")) as Answer<Result>;
      logger.error("the installer failed", { op, error: body.toString("utf8").slice(0, 2_000) });
      return { ok: false, kind: "failed", reason: "the installer itself failed; the worker's log says how" };
    } catch (error) {
      throw unavailable(`the installer ended in the middle of "${op}"`, error);
    }
  }
}

const OUT = "out";

/** What an installer's fault is to whoever calls the lambda. */
export const installerError = (kind: InstallerFault, reason: string): OlError => {
  if (kind === "unreachable")
    return lambdaError("OL_LAMBDA_PACKAGES_UNAVAILABLE", `the package index cannot be reached: ${reason}`);
  if (kind === "no-tool") return lambdaError("OL_LAMBDA_PACKAGES_UNAVAILABLE", NO_TOOL);
  return lambdaError("OL_LAMBDA_BAD_PACKAGES", reason);
};

const NO_TOOL =
  "packages cannot be installed on this worker: it has neither uv nor pip; install one (Debian: apt-get install python3-pip)";

const unavailable = (what: string, cause: unknown): OlError => {
  const reason = isOlError(cause) ? `: ${cause.message}` : "";
  return lambdaError("OL_LAMBDA_PACKAGES_UNAVAILABLE", `${what}${reason}`, { cause });
};
