import { type ChildProcess, execFile, spawn } from "node:child_process";
import { chmod, chown, copyFile, cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import type { NetworkClass, SandboxLimits } from "@ol/common";

import {
  type Defence,
  type Enforcement,
  type EngineStats,
  type SandboxExit,
  SandboxPool,
  SockEngine,
  type ZygoteImport,
  type ZygoteSpec,
} from "../../../src/index.ts";
import { SLOWNESS } from "../../support/scale.ts";
import { type Driver, createDriver } from "./driver.mjs";

/** Whom the engine runs as. */
export type Mode = "root" | "rootless";

/** What a probe says, or how its sandbox ended over it. */
export interface Outcome {
  readonly succeeded: boolean;
  readonly detail: unknown;
  /** The probe itself failed, so it says nothing about the sandbox. */
  readonly broken?: boolean;
  readonly error?: { readonly code: string; readonly message: string };
}

export type ProbeEvent = { readonly probe: string } & Readonly<Record<string, unknown>>;

// Not in /etc/passwd, which nothing may depend on.
const ORDINARY_ID = 61_234;
const PACKAGE_DIR = fileURLToPath(new URL("../../../", import.meta.url));
const PROBES_DIR = fileURLToPath(new URL("../../handlers/probes/", import.meta.url));
const FORKED_DIR = fileURLToPath(new URL("../../handlers/forked/", import.meta.url));
const PACKAGES_DIR = fileURLToPath(new URL("../../packages/", import.meta.url));
const READY_TIMEOUT_MS = 20_000 * SLOWNESS;

const isSource = (file: string): boolean => !file.includes("__pycache__");

export const runsAsRoot = (): boolean => process.getuid?.() === 0;

/** A running engine with some of its defences possibly left out. */
export class Engine implements AsyncDisposable {
  readonly enforcement: Enforcement;
  readonly brokerPid: number;
  readonly workerPid: number;
  readonly workDir: string;
  readonly logDir: string;
  readonly #driver: Driver;
  readonly #number: number;
  readonly #imports = new Map<string, ZygoteImport>();

  constructor(driver: Driver, opened: OpenedEngine, workDir: string, logDir: string) {
    this.#driver = driver;
    this.#number = opened.engine;
    this.enforcement = opened.enforcement;
    this.brokerPid = opened.brokerPid;
    this.workerPid = opened.workerPid;
    this.workDir = workDir;
    this.logDir = logDir;
  }

  async sandbox(
    network: NetworkClass,
    options: {
      limits?: Partial<SandboxLimits>;
      name?: string;
      environment?: Record<string, string>;
      code?: string;
      zygote?: string;
      packages?: readonly string[];
    } = {},
  ): Promise<ProbedSandbox> {
    const made = await this.#driver.request("acquire", { engine: this.#number, network, ...options });
    const { sandbox, id } = made as { sandbox: number; id: string };
    const scratch = path.join(this.workDir, "handlers", options.name ?? "probes", id);
    return new ProbedSandbox(this.#driver, sandbox, id, scratch);
  }

  /** Undefined if it could be made, else why not. */
  async createZygote(
    id: string,
    spec: Partial<ZygoteSpec> & { readonly modules: readonly string[] },
  ): Promise<{ code: string; message: string; unfit?: readonly string[] } | undefined> {
    const wanted = { network: "none", packages: [], ...spec, engine: this.#number, id };
    const made = (await this.#driver.request("createZygote", wanted)) as {
      error?: { code: string; message: string; unfit?: readonly string[] };
      import?: ZygoteImport;
    };
    if (made.import !== undefined) this.#imports.set(id, made.import);
    return made.error;
  }

  /** How the import of the zygote went that was made last by that name. */
  importOf(id: string): ZygoteImport | undefined {
    return this.#imports.get(id);
  }

  async killZygote(id: string): Promise<void> {
    await this.#driver.request("killZygote", { engine: this.#number, id });
  }

  async zygoteExit(id: string): Promise<SandboxExit> {
    return ((await this.#driver.request("zygoteExit", { engine: this.#number, id })) as { exit: SandboxExit })
      .exit;
  }

  async stats(): Promise<EngineStats> {
    return (await this.#driver.request("stats", { engine: this.#number })) as EngineStats;
  }

  /** One probe in a sandbox of its own. */
  async probe(network: NetworkClass, event: ProbeEvent): Promise<Outcome> {
    const sandbox = await this.sandbox(network);
    try {
      return await sandbox.probe(event);
    } finally {
      await sandbox.destroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#driver.request("closeEngine", { engine: this.#number });
  }
}

export class ProbedSandbox {
  readonly id: string;
  /** Its scratch directory on the host. */
  readonly scratch: string;
  readonly #driver: Driver;
  readonly #number: number;

  constructor(driver: Driver, number: number, id: string, scratch: string) {
    this.#driver = driver;
    this.#number = number;
    this.id = id;
    this.scratch = scratch;
  }

  async probe(event: ProbeEvent): Promise<Outcome> {
    const answer = (await this.#driver.request("call", { sandbox: this.#number, event })) as {
      reply?: Outcome;
      error?: { code: string; message: string };
    };
    if (answer.reply !== undefined) return answer.reply;
    return { succeeded: false, detail: answer.error, ...(answer.error && { error: answer.error }) };
  }

  async pause(): Promise<boolean> {
    return ((await this.#ask("pause")) as { paused: boolean }).paused;
  }

  async resume(): Promise<void> {
    await this.#ask("resume");
  }

  async memoryBytes(): Promise<number> {
    return ((await this.#ask("memoryBytes")) as { bytes: number }).bytes;
  }

  /** How it ended by itself. */
  async exited(): Promise<SandboxExit> {
    return ((await this.#ask("exited")) as { exit: SandboxExit }).exit;
  }

  #ask(method: string): Promise<unknown> {
    return this.#driver.request(method, { sandbox: this.#number });
  }

  async destroy(): Promise<SandboxExit> {
    const { exit } = (await this.#driver.request("destroy", { sandbox: this.#number })) as {
      exit: SandboxExit;
    };
    return exit;
  }
}

interface OpenedEngine {
  engine: number;
  enforcement: Enforcement;
  brokerPid: number;
  workerPid: number;
}

/** A directory with the probes as a lambda, and engines over it that run as root or as an ordinary user. */
export class Host implements AsyncDisposable {
  readonly mode: Mode;
  /** Everybody may read it: what hides it from a sandbox is not its mode. */
  readonly directory: string;
  /** What is put before commands that run on it. */
  readonly prefix: readonly string[];
  readonly #driver: Driver;
  readonly #child: ChildProcess | undefined;
  readonly #python: string;
  // Several hosts of one test must not share their groups.
  readonly #clusterId = `sec${Math.random().toString(36).slice(2, 10).padEnd(8, "0")}`;
  #engines = 0;

  private constructor(
    mode: Mode,
    directory: string,
    driver: Driver,
    child: ChildProcess | undefined,
    python: string,
    prefix: readonly string[] = [],
  ) {
    this.prefix = prefix;
    this.mode = mode;
    this.directory = directory;
    this.#driver = driver;
    this.#child = child;
    this.#python = python;
  }

  /** `prefix`: a command before the engine's, such as `unshare --mount`; then root's runs in a child process too. */
  static async open(mode: Mode, prefix: readonly string[] = []): Promise<Host> {
    const directory = await mkdtemp(path.join(tmpdir(), `ol-security-${mode}-`));
    await chmod(directory, 0o755);
    await cp(PROBES_DIR, path.join(directory, "code", "probes"), {
      recursive: true,
      filter: isSource,
    });
    await cp(FORKED_DIR, path.join(directory, "code", "forked"), { recursive: true, filter: isSource });
    await cp(PACKAGES_DIR, path.join(directory, "packages"), { recursive: true, filter: isSource });
    await cp(PROBES_DIR, path.join(directory, "packages", "probes"), { recursive: true, filter: isSource });
    if (mode === "root" && prefix.length > 0) {
      const child = await startChild(directory, prefix, {});
      return new Host(mode, directory, childDriver(child), child, "python3", prefix);
    }
    if (mode === "root" || !runsAsRoot())
      return new Host(mode, directory, createDriver({ SockEngine, SandboxPool }), undefined, "python3");
    await mkdir(path.join(directory, "home"));
    await chown(path.join(directory, "home"), ORDINARY_ID, ORDINARY_ID);
    const child = await startChild(directory, [], { uid: ORDINARY_ID, gid: ORDINARY_ID });
    return new Host(mode, directory, childDriver(child), child, await pythonForEverybody());
  }

  /** An engine without the defences named; its work directory belongs to whom it runs as. */
  async engine(
    weaken: readonly Defence[] = [],
    networks: readonly NetworkClass[] = [],
    existing?: string,
  ): Promise<Engine> {
    this.#engines += 1;
    const home = path.join(this.directory, this.#child ? "home" : "");
    const workDir = existing ?? path.join(home, `worker-${this.#engines}`);
    const logDir = path.join(home, `logs-${this.#engines}`);
    const opened = (await this.#driver.request("openEngine", {
      clusterId: this.#clusterId,
      // As the directory, so that the next engine in it finds the groups of one that was killed.
      workerName: `${this.mode}-${path.basename(workDir)}`,
      workDir,
      logDir,
      codeDir: path.join(this.directory, "code"),
      packagesDir: path.join(this.directory, "packages"),
      python: this.#python,
      networks,
      weaken,
    })) as OpenedEngine;
    return new Engine(this.#driver, opened, workDir, logDir);
  }

  /** The same probe outside every sandbox, as root or as an ordinary user: whichever this process is, or can be. */
  async probeOutside(event: ProbeEvent, as: "root" | "user"): Promise<Outcome> {
    const change = as === "user" && runsAsRoot();
    const python = change ? await pythonForEverybody() : "python3";
    const file = path.join(this.directory, "code", "probes", "f.py");
    const { stdout } = await promisify(execFile)(python, ["-B", file, JSON.stringify(event)], {
      ...(change && { uid: ORDINARY_ID, gid: ORDINARY_ID }),
      env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", OL_PROBE_ON_HOST: "1" },
      cwd: this.directory,
    });
    return JSON.parse(stdout) as Outcome;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#driver.request("close", {});
    if (this.#child !== undefined) {
      const exited = new Promise((resolve) => this.#child?.once("exit", resolve));
      this.#child.disconnect();
      await exited;
    }
    await rm(this.directory, { recursive: true });
  }
}

/** What an unprivileged user finds: the interpreter that the tests run on may lie in root's own directory. */
const pythonForEverybody = async (): Promise<string> => {
  for (const command of ["python3", "/usr/bin/python3", "/usr/local/bin/python3"]) {
    try {
      await promisify(execFile)(command, ["-I", "-c", "pass"], {
        uid: ORDINARY_ID,
        gid: ORDINARY_ID,
        cwd: "/",
      });
      return command;
    } catch {
      continue;
    }
  }
  throw new Error("no Python that an ordinary user may run: install one in /usr/bin");
};

const startChild = async (
  directory: string,
  prefix: readonly string[],
  ids: { uid?: number; gid?: number },
): Promise<ChildProcess> => {
  const modules = path.join(directory, "node_modules", "@ol");
  for (const name of ["common", "sandbox"]) {
    const source = path.join(PACKAGE_DIR, "..", name);
    for (const part of ["package.json", "dist", ...(name === "sandbox" ? ["python"] : [])])
      await cp(path.join(source, part), path.join(modules, name, part), { recursive: true });
  }
  for (const name of ["child.mjs", "driver.mjs"])
    await copyFile(fileURLToPath(new URL(name, import.meta.url)), path.join(directory, name));
  await writeFile(path.join(directory, "package.json"), "{}");
  const words = [...prefix, process.execPath, path.join(directory, "child.mjs")];
  const child = spawn(words[0] as string, words.slice(1), {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    ...ids,
    cwd: directory,
    env: {
      PATH: process.env["PATH"] ?? "/usr/bin:/bin",
      HOME: path.join(directory, "home"),
      OL_TEST_SLOWNESS: String(SLOWNESS),
    },
  });
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("the child did not start")), READY_TIMEOUT_MS);
    child.once("message", () => resolve(clearTimeout(timer)));
    child.once("exit", (code) => reject(new Error(`the child ended with ${code}`)));
  });
  return child;
};

const childDriver = (child: ChildProcess): Driver => {
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  let last = 0;
  child.on("message", (message) => {
    const { id, result, error } = message as { id: number; result?: unknown; error?: string };
    const found = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) found?.resolve(result);
    else found?.reject(new Error(error));
  });
  child.once("exit", () => {
    for (const { reject } of waiting.values()) reject(new Error("the child is gone"));
  });
  return {
    request: (method, parameters) =>
      new Promise((resolve, reject) => {
        last += 1;
        waiting.set(last, { resolve, reject });
        child.send({ id: last, method, parameters });
      }),
  };
};
