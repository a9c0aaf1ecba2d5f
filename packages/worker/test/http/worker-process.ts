import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";

/** A worker as a process of its own, started by its bin. */
export interface WorkerProcess {
  readonly port: number;
  readonly pid: number;
  readonly directory: string;
  readonly registryDir: string;
  /** What it wrote to its log so far. */
  log(): string;
  signal(name: NodeJS.Signals): void;
  /** Settles with the exit code. */
  readonly exited: Promise<number | null>;
  /** Stops it if it still runs and removes its directory. */
  close(): Promise<void>;
}

export interface LaunchOptions {
  /** Over that of the tests; undefined takes a variable away. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** A program and its first arguments, which starts the worker. */
  readonly wrapper?: readonly string[];
}

const BIN = fileURLToPath(new URL("../../../../apps/worker/bin/ol-worker.js", import.meta.url));
/** On a machine that does other things as well. */
const START_MS = 60_000;

/** The one line that a worker writes when it knows how its start went. */
const readiness = async (child: ChildProcess, log: () => string): Promise<string> => {
  const lines = child.stdio[3] as Readable;
  const signal = AbortSignal.timeout(START_MS);
  let text = "";
  while (!text.includes("\n")) {
    const [data] = await Promise.race([
      once(lines, "data", { signal }),
      once(lines, "end", { signal }).then(() => [Buffer.from(`error it ended: ${log()}\n`)]),
    ]);
    text += String(data);
  }
  return text.trim();
};

/**
 * Starts a worker on a free port in a directory of its own, or in that of one that has ended. `config` goes over the
 * defaults of tests.
 */
export const startWorkerProcess = async (
  config: Readonly<Record<string, unknown>> = {},
  before?: WorkerProcess,
  { environment = {}, wrapper = [] }: LaunchOptions = {},
): Promise<WorkerProcess> => {
  const directory = before?.directory ?? (await mkdtemp(join(tmpdir(), "ol-worker-")));
  const registryDir = join(directory, "registry");
  await mkdir(registryDir, { recursive: true });
  const file = join(directory, "worker-0.json");
  const all = { worker_port: 0, worker_dir: "work", registry_dir: "registry", mem_pool_mb: 2000, ...config };
  await writeFile(file, JSON.stringify(all));
  const command = [...wrapper, process.execPath, BIN, "--config", file];
  const child = spawn(command[0] ?? "", command.slice(1), {
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    env: { ...process.env, OL_READY_FD: "3", ...environment },
  });
  const parts: string[] = [];
  const log = (): string => parts.join("");
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (data) => parts.push(String(data)));
  const exited = once(child, "exit").then(([code]) => code as number | null);
  const close = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
    await exited;
    // One that was killed, or lost its engine, leaves control groups that only a sweep finds.
    spawnSync(process.execPath, [BIN, "sweep", "--config", file], { timeout: START_MS });
    await rm(directory, { recursive: true, force: true });
  };
  const line = await readiness(child, log).catch(async (error: unknown) => {
    await close();
    throw error;
  });
  if (!line.startsWith("ready ")) {
    await close();
    throw new Error(`the worker did not start: ${line}`);
  }
  return {
    port: Number(new URL(line.slice("ready ".length)).port),
    pid: child.pid as number,
    directory,
    registryDir,
    log,
    signal: (name) => void child.kill(name),
    exited,
    close,
  };
};
