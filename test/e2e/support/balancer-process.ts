import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export const BALANCER_BIN: string = fileURLToPath(
  new URL("../../../apps/balancer/bin/ol-balancer.js", import.meta.url),
);
const TELL_MEMORY = fileURLToPath(new URL("tell-memory.mjs", import.meta.url));
/** On a machine that does other things as well. */
const START_MS = 60_000;

/** A load balancer as a process of its own. */
export interface BalancerProcess extends AsyncDisposable {
  readonly port: number;
  readonly pid: number;
  /** What it wrote to its log so far. */
  log(): string;
  signal(name: NodeJS.Signals): void;
  /** Settles with the exit code. */
  readonly exited: Promise<number | null>;
  /** Its resident memory, in bytes. */
  residentBytes(): Promise<number>;
  /** What it holds once garbage is collected, in bytes. */
  heldBytes(): Promise<number>;
  /** Its open file descriptors. */
  descriptors(): Promise<number>;
}

/** The one line that it writes when it knows how its start went. */
const readiness = async (child: ChildProcess, log: () => string): Promise<string> => {
  const lines = child.stdio[3] as Readable;
  const signal = AbortSignal.timeout(START_MS);
  let text = "";
  while (!text.includes("\n")) {
    const [data] = (await Promise.race([
      once(lines, "data", { signal }),
      once(lines, "end", { signal }).then(() => [`error it ended: ${log()}\n`]),
    ])) as [unknown];
    text += String(data);
  }
  return text.trim();
};

/** Starts one on a free port, in front of the workers at these URLs. `config` goes over that. */
export const startBalancerProcess = async (
  workers: readonly string[],
  config: Readonly<Record<string, unknown>> = {},
  environment: Readonly<Record<string, string>> = {},
): Promise<BalancerProcess> => {
  const directory = await mkdtemp(join(tmpdir(), "ol-balancer-"));
  const file = join(directory, "load_balancer.json");
  await writeFile(file, JSON.stringify({ port: 0, workers, ...config }));
  const child = spawn(process.execPath, [BALANCER_BIN, "--config", file], {
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    env: { ...process.env, OL_READY_FD: "3", NODE_OPTIONS: `--import=${TELL_MEMORY}`, ...environment },
  });
  const parts: string[] = [];
  const log = (): string => parts.join("");
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => parts.push(String(data)));
  const exited = once(child, "exit").then(([code]) => code as number | null);
  const close = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await exited;
    await rm(directory, { recursive: true, force: true });
  };
  const line = await readiness(child, log);
  if (!line.startsWith("ready ")) {
    await close();
    throw new Error(line);
  }
  const pid = child.pid as number;
  const told = (): readonly string[] => log().match(/^memory \d+$/gmu) ?? [];
  return {
    port: Number(new URL(line.slice("ready ".length)).port),
    pid,
    log,
    signal: (name) => void child.kill(name),
    exited,
    residentBytes: async () => {
      const status = await readFile(`/proc/${pid}/status`, "utf8");
      return Number(/^VmRSS:\s+(\d+) kB$/mu.exec(status)?.[1]) * 1024;
    },
    heldBytes: async () => {
      const before = told().length;
      child.kill("SIGUSR2");
      while (told().length === before) await sleep(5);
      return Number(told().at(-1)?.slice("memory ".length));
    },
    descriptors: async () => (await readdir(`/proc/${pid}/fd`)).length,
    [Symbol.asyncDispose]: close,
  };
};
