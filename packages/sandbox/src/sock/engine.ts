import { chown, mkdir, open, type FileHandle } from "node:fs/promises";
import { constants } from "node:fs";
import type { Socket } from "node:net";
import path from "node:path";

import { type Logger, deferred, messageOf, silentLogger } from "@ol/common";

import type {
  Enforcement,
  EngineSandbox,
  EngineStats,
  EngineZygote,
  KeepOrder,
  KeepOutcome,
  SandboxEngine,
  SandboxExit,
  SandboxSpec,
  ZygoteSpec,
} from "../engine.ts";
import { BASE_ENVIRONMENT } from "../environment.ts";
import { sandboxError } from "../errors.ts";
import { GuestSocket } from "../frames/guest-socket.ts";
import { BrokerClient } from "./broker-client.ts";
import type { SockEngineOptions } from "./options.ts";
import { BROKER, findPython } from "./python.ts";
import { startFields } from "./start-fields.ts";
import { SockZygotes } from "./zygotes.ts";

// Linux's, which Node has no name for: a place to begin paths at, also for who may not read the directory.
const O_PATH = 0o10000000;
// A connection to a listening unix socket is made at once or not at all; this only bounds a machine that hangs.
const CONNECT_TIMEOUT_MS = 10_000;

/** What an engine is put together from. */
interface Parts {
  readonly broker: BrokerClient;
  readonly runDir: FileHandle;
  readonly exits: Map<string, (exit: SandboxExit) => void>;
  readonly zygotes: SockZygotes;
  readonly lost: Promise<string>;
}

/**
 * Sandboxes that fork from a Python zygote in namespaces of its own. All that needs rights on the host is done by
 * the broker (python/ol_host); this class holds its reins. docs/engine-host.md lists what it does to the host.
 */
export class SockEngine implements SandboxEngine {
  readonly name = "sock";
  readonly enforcement: Enforcement;
  readonly lost: Promise<string>;
  /** The version of the Python that sandboxes run on: this machine's, or that of `baseDir`. */
  readonly python: string;
  /** Directories and sockets of an earlier, dead engine that were removed at the start. */
  readonly swept: number;
  readonly #broker: BrokerClient;
  readonly #runDir: FileHandle;
  readonly #exits: Map<string, (exit: SandboxExit) => void>;
  readonly #zygotes: SockZygotes;
  #created = 0;
  #destroyed = 0;
  #closed: Promise<void> | undefined;

  /**
   * Starts the broker in `workDir`, which clears what an earlier one left there.
   * Fails with OL_SANDBOX_HOST_UNFIT, OL_SANDBOX_BAD_BASE, OL_SANDBOX_DIRECTORY_IN_USE or OL_SANDBOX_BROKER_LOST.
   */
  static async create(options: SockEngineOptions): Promise<SockEngine> {
    validateOptions(options);
    const logger = options.logger ?? silentLogger;
    const python = await findPython(options.python);
    const directories = [
      options.workDir,
      options.codeDir,
      ...(options.logDir === undefined ? [] : [options.logDir]),
    ];
    for (const directory of directories) await makeDirectory(directory);
    if (options.packagesDir !== undefined) await makeDirectory(options.packagesDir, options.worker);
    const exits = new Map<string, (exit: SandboxExit) => void>();
    const lost = deferred<string>();
    const zygotes = new SockZygotes();
    const broker = new BrokerClient(
      python.path,
      BROKER,
      {
        exit: (sandbox, exit) => exits.get(sandbox)?.(exit),
        full: () => undefined,
        zygoteExit: (zygote, exit) => zygotes.exited(zygote, exit),
        prepared: (count, memoryMb) => zygotes.prepared(count, memoryMb),
        ended: (reason, expected) => {
          for (const exited of exits.values()) exited({ reason: "lost", message: reason });
          zygotes.lost(reason);
          if (!expected) lost.resolve(reason);
        },
      },
      logger,
    );
    try {
      const started = await broker.request("start", startFields(options));
      const runDir = await open(path.join(options.workDir, "run"), O_PATH | constants.O_DIRECTORY);
      return new SockEngine({ broker, runDir, exits, zygotes, lost: lost.promise }, started, logger);
    } catch (error) {
      await broker.close();
      throw error;
    }
  }

  private constructor(parts: Parts, started: Record<string, unknown>, logger: Logger) {
    this.#broker = parts.broker;
    this.#runDir = parts.runDir;
    this.#exits = parts.exits;
    this.#zygotes = parts.zygotes;
    this.lost = parts.lost;
    this.python = started["python"] as string;
    this.swept = started["swept"] as number;
    this.enforcement = enforcementOf(started);
    for (const note of this.enforcement.notes) logger.warn(note);
  }

  /** The broker's process id, for those who watch it from outside. */
  get brokerPid(): number | undefined {
    return this.#broker.pid;
  }

  create(id: string, spec: SandboxSpec, signal?: AbortSignal): Promise<EngineSandbox> {
    return this.#create(id, spec, signal, true);
  }

  /** One whose zygote died before it could be connected to is made once more if `again`: the next zygote is a new one. */
  async #create(
    id: string,
    spec: SandboxSpec,
    signal: AbortSignal | undefined,
    again: boolean,
  ): Promise<EngineSandbox> {
    if (this.#closed !== undefined) throw sandboxError("OL_SANDBOX_CLOSED", "the engine is closed");
    signal?.throwIfAborted();
    const { promise: exited, resolve: settleExit } = deferred<SandboxExit>();
    let killing = false;
    this.#exits.set(id, (exit) => {
      if (!this.#exits.delete(id)) return;
      this.#destroyed += 1;
      // A guest whose connection was closed leaves by itself, and may be quicker than the kill.
      const left = exit.reason === "exit" || exit.reason === "signal";
      settleExit(killing && left ? { reason: "killed" } : exit);
    });
    let socketName: string;
    try {
      const made = await this.#broker.request("create", { sandbox: id, ...createFields(spec) });
      socketName = made["socket"] as string;
    } catch (error) {
      this.#exits.delete(id);
      throw error;
    }
    this.#created += 1;
    let keeping: Promise<readonly KeepOutcome[]> | undefined;
    const kill = async (): Promise<void> => {
      killing = true;
      // What is being kept takes longer than any kill, and is one.
      await (keeping === undefined ? this.#kill(id) : keeping.catch(() => undefined));
      await exited;
    };
    try {
      const connection = await this.#connect(socketName, signal);
      return {
        id,
        connection,
        exited,
        kill,
        pause: async () => void (await this.#broker.request("pause", { sandbox: id })),
        resume: async () => void (await this.#broker.request("resume", { sandbox: id })),
        memoryBytes: async () => (await this.#broker.request("measure", { sandbox: id }))["bytes"] as number,
        keep: async (orders) => {
          killing = true;
          keeping = this.#keep(id, orders);
          const outcomes = await keeping;
          await exited;
          return outcomes;
        },
      };
    } catch (error) {
      await kill();
      const exit = await exited;
      if (again && exit.reason === "lost" && exit.notStarted === true)
        return this.#create(id, spec, signal, false);
      throw this.#setupError(exit, error);
    }
  }

  async createZygote(id: string, spec: ZygoteSpec, signal?: AbortSignal): Promise<EngineZygote> {
    if (this.#closed !== undefined) throw sandboxError("OL_SANDBOX_CLOSED", "the engine is closed");
    return this.#zygotes.create(this.#broker, id, spec, signal);
  }

  /** Why nobody listened: the sandbox's own word, if it had the time to say one. */
  #setupError(exit: SandboxExit, error: unknown): unknown {
    if (exit.reason !== "lost" || exit.message === undefined) return error;
    return sandboxError("OL_SANDBOX_CREATE_FAILED", `set up the sandbox: ${exit.message}`, { cause: error });
  }

  stats(): EngineStats {
    return {
      sandboxes: this.#exits.size,
      created: this.#created,
      destroyed: this.#destroyed,
      ...this.#zygotes.stats(),
    };
  }

  close(): Promise<void> {
    this.#closed ??= (async () => {
      await this.#broker.close();
      await this.#runDir.close();
    })();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #keep(id: string, orders: readonly KeepOrder[]): Promise<readonly KeepOutcome[]> {
    const fields = orders.map(({ source, target, merge = false }) => ({ source, target, merge }));
    const { outcomes } = await this.#broker.request("keep", { sandbox: id, orders: fields });
    return outcomes as KeepOutcome[];
  }

  async #kill(id: string): Promise<void> {
    try {
      await this.#broker.request("kill", { sandbox: id });
    } catch (error) {
      // Without the broker there are no sandboxes: what was asked for is so.
      if ((error as { code?: unknown }).code !== "OL_SANDBOX_BROKER_LOST") throw error;
    }
  }

  /** By descriptor, since the directory's path may be longer than the 108 bytes of a socket address. */
  #connect(socketName: string, signal: AbortSignal | undefined): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = new GuestSocket().connect(`/proc/self/fd/${this.#runDir.fd}/${socketName}`);
      const timer = setTimeout(() => fail(new Error("no answer in time")), CONNECT_TIMEOUT_MS);
      const onAbort = (): void => fail(signal?.reason);
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        socket.removeListener("error", fail);
      };
      const fail = (error: unknown): void => {
        done();
        socket.destroy();
        const reason = error instanceof Error ? error.message : String(error);
        reject(
          sandboxError("OL_SANDBOX_CREATE_FAILED", `connect to the sandbox: ${reason}`, { cause: error }),
        );
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      socket.once("error", fail);
      socket.once("connect", () => {
        done();
        resolve(socket);
      });
    });
  }
}

/** One that had to be made belongs to `owner`, if there is one. */
const makeDirectory = async (directory: string, owner?: SockEngineOptions["worker"]): Promise<void> => {
  try {
    const made = await mkdir(directory, { recursive: true });
    if (made !== undefined && owner !== undefined) await chown(directory, owner.uid, owner.gid);
  } catch (error) {
    throw sandboxError("OL_SANDBOX_HOST_UNFIT", `a directory cannot be made: ${messageOf(error)}`, {
      cause: error,
    });
  }
};

const validateOptions = (options: SockEngineOptions): void => {
  const wrong =
    (!/^[a-z0-9]{4,16}$/.test(options.clusterId) && "clusterId must be 4 to 16 of a-z and 0-9") ||
    (!/^[a-z0-9-]{1,32}$/.test(options.workerName) && "workerName must be 1 to 32 of a-z, 0-9 and -") ||
    (!path.isAbsolute(options.workDir) && "workDir must be an absolute path") ||
    (!path.isAbsolute(options.codeDir) && "codeDir must be an absolute path") ||
    (options.packagesDir !== undefined &&
      !path.isAbsolute(options.packagesDir) &&
      "packagesDir must be an absolute path") ||
    (options.baseDir !== undefined &&
      !path.isAbsolute(options.baseDir) &&
      "baseDir must be an absolute path");
  if (wrong) throw sandboxError("OL_SANDBOX_BAD_OPTIONS", wrong);
};

const createFields = (spec: SandboxSpec): Record<string, unknown> => ({
  name: spec.name,
  code: spec.code,
  network: spec.network,
  environment: { ...BASE_ENVIRONMENT, ...spec.environment },
  limits: spec.limits,
  packages: spec.packages ?? [],
  scratchOnDisk: spec.scratchOnDisk ?? false,
  ...(spec.zygote !== undefined && { zygote: spec.zygote }),
});

const enforcementOf = (started: Record<string, unknown>): Enforcement => ({
  memory: started["memory"] as Enforcement["memory"],
  procs: started["procs"] as Enforcement["procs"],
  cpu: started["cpu"] as Enforcement["cpu"],
  pause: started["pause"] as Enforcement["pause"],
  scratch: started["scratch"] as Enforcement["scratch"],
  rootless: started["rootless"] as boolean,
  notes: started["notes"] as string[],
});
