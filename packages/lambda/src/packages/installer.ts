import { chmod, type FileHandle, mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { type Logger, messageOf, type NetworkClass, type SandboxLimits } from "@ol/common";
import type { SandboxPool, SandboxSpec } from "@ol/sandbox";

import { lambdaError } from "../errors.ts";
import { sandboxEnded } from "./installer-answer.ts";
import { InstallerSession } from "./installer-session.ts";
import { type Turn, Turns } from "./turns.ts";

/** How pip and uv are used. */
export interface InstallerTools {
  /** The program uv, open; default: there is none. Stays open. */
  readonly uv?: FileHandle;
  /** `auto` is uv where it is to be had, else pip. */
  readonly tool: "auto" | "uv" | "pip";
  /** Variables for pip and uv, such as PIP_EXTRA_INDEX_URL. No lambda ever sees them. */
  readonly environment: Readonly<Record<string, string>>;
  /** Configuration files of pip and uv: pip.conf, uv.toml, netrc, ca.pem. No lambda ever sees them. */
  readonly settings: Readonly<Record<string, string>>;
  /** The one index there is, whatever the settings say of others; default: what the settings say. */
  readonly onlyIndex?: string;
}

/** What an installer is made from. */
export interface InstallerOptions {
  /** Where the sandboxes that install come from. */
  readonly pool: SandboxPool;
  /** The sandbox engine's `codeDir`: the installer's own code lies there beside that of lambdas. */
  readonly codeDir: string;
  /** Of each of the sandboxes that install. */
  readonly limits: InstallerLimits;
  /** Of the sandboxes that install: where the index is to be reached. */
  readonly network: NetworkClass;
  /** How pip and uv are used. */
  readonly tools: InstallerTools;
  /** Whether packages are built from source where there is no wheel. Default: no. */
  readonly source?: boolean;
  /** Hears what pip and uv are asked, and what goes wrong. */
  readonly logger: Logger;
}

/** What each of the sandboxes that install may use. */
export interface InstallerLimits {
  /** Processes and threads. At the limit: starting one more fails, and mostly the installation. */
  readonly procs: number;
  /** At most the pool's memory counts. At the limit: OL_LAMBDA_PACKAGES_UNAVAILABLE, which says so. */
  readonly memoryMb: number;
  /** Of one question to it, and of one installation. At the limit: OL_LAMBDA_PACKAGES_UNAVAILABLE. */
  readonly runtimeSec: number;
  /** What is downloaded and unpacked at once. At the limit: OL_LAMBDA_PACKAGES_UNAVAILABLE. */
  readonly scratchMb: number;
}

/** No lambda's directory: those are NAME@DIGEST. */
const CODE = ".installer";
/** Scratch and logs are filed under it. */
const NAME = "ol-installer";
const PROGRAM = fileURLToPath(new URL("../../python/installer", import.meta.url));
const ACQUIRE_MS = 60_000;
const TURN_MS = 600_000;
/** Of the pool's memory they take no more than half, unless one alone needs more. */
const MOST_AT_ONCE = 4;
const LOG_MB = 8;
const CPU_PERCENT = 400;

/**
 * Makes the sandboxes in which packages are resolved, installed and compiled: nothing of an index or a package is trusted
 * with more than the directory that it makes.
 */
export class Installer {
  readonly #options: InstallerOptions;
  readonly #turns: Turns;
  readonly #memoryMb: number;
  #prepared: Promise<void> | undefined;

  constructor(options: InstallerOptions) {
    this.#options = options;
    const { pool, limits } = options;
    const poolMb = Math.floor(pool.stats().memoryMb);
    this.#memoryMb = Math.min(limits.memoryMb, poolMb);
    const fitting = Math.floor(poolMb / 2 / this.#memoryMb);
    this.#turns = new Turns(Math.max(1, Math.min(MOST_AT_ONCE, fitting)));
  }

  /** Whether packages may be built from source. */
  get source(): boolean {
    return this.#options.source ?? false;
  }

  /**
   * A sandbox for one piece of work; its cache ends with it. Whoever has one must not wait for somebody who needs one. Fails
   * with OL_LAMBDA_PACKAGES_UNAVAILABLE.
   */
  async open(): Promise<InstallerSession> {
    await this.#prepare();
    const turn = await this.#turn();
    try {
      const sandbox = await this.#options.pool.acquire(this.#spec(), { deadlineMs: ACQUIRE_MS });
      return new InstallerSession(sandbox, { ...this.#options, source: this.source, ended: turn.end });
    } catch (error) {
      turn.end();
      this.#options.logger.warn("no sandbox could be had to install packages in", {
        error: messageOf(error),
      });
      throw sandboxEnded(error);
    }
  }

  async #turn(): Promise<Turn> {
    try {
      return await this.#turns.take(AbortSignal.timeout(TURN_MS));
    } catch (error) {
      throw lambdaError(
        "OL_LAMBDA_PACKAGES_UNAVAILABLE",
        "too many packages of other lambdas are being installed",
        { cause: error },
      );
    }
  }

  /** Once; the next one tries again if it fails. */
  async #prepare(): Promise<void> {
    this.#prepared ??= this.#copyProgram();
    try {
      await this.#prepared;
    } catch (error) {
      this.#prepared = undefined;
      this.#options.logger.error("the installer's program could not be copied", { error: messageOf(error) });
      throw lambdaError("OL_LAMBDA_PACKAGES_UNAVAILABLE", "the installer could not be set up", {
        cause: error,
      });
    }
  }

  async #copyProgram(): Promise<void> {
    const { codeDir, tools } = this.#options;
    const directory = join(codeDir, CODE);
    await mkdir(directory, { recursive: true, mode: 0o755 });
    for (const file of await readdir(PROGRAM))
      if (file.endsWith(".py")) await writeFile(join(directory, file), await readFile(join(PROGRAM, file)));
    if (tools.uv === undefined) return;
    const fresh = join(directory, "uv.new");
    await writeFile(fresh, tools.uv.createReadStream({ start: 0, autoClose: false }));
    await chmod(fresh, 0o755);
    await rename(fresh, join(directory, "uv"));
  }

  #spec(): SandboxSpec {
    const { limits, network, tools } = this.#options;
    return {
      name: NAME,
      code: CODE,
      network,
      environment: tools.environment,
      scratchOnDisk: true,
      limits: {
        memoryMb: this.#memoryMb,
        procs: limits.procs,
        scratchMb: limits.scratchMb,
        swappiness: 0,
        cpuPercent: CPU_PERCENT,
        logMb: LOG_MB,
      } satisfies SandboxLimits,
    };
  }
}
