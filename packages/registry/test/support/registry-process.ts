import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("../../../../apps/registry/bin/ol-registry.js", import.meta.url));
/** The machine of the tests is busy. */
const START_MS = 60_000;

/** What `ol-registry` said, and how it ended. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A directory with a configuration, and `ol-registry` processes of it. */
export class RegistryDirectory implements AsyncDisposable {
  readonly directory: string;
  readonly config: string;
  readonly #running: RegistryProcess[] = [];

  static async make(values: Readonly<Record<string, unknown>>): Promise<RegistryDirectory> {
    const directory = await mkdtemp(path.join(tmpdir(), "ol-registry-process-"));
    const made = new RegistryDirectory(directory);
    await writeFile(made.config, JSON.stringify({ registry_port: 0, ...values }), { mode: 0o600 });
    return made;
  }

  private constructor(directory: string) {
    this.directory = directory;
    this.config = path.join(directory, "registry.json");
  }

  /** Starts one, and waits for its first word. */
  async start(): Promise<RegistryProcess> {
    const started = new RegistryProcess(this.config);
    this.#running.push(started);
    await started.word;
    return started;
  }

  /** Runs a command to its end. */
  async run(...args: string[]): Promise<Ended> {
    const child = spawn(process.execPath, [PROGRAM, ...args], { timeout: START_MS, killSignal: "SIGKILL" });
    const ended = { stdout: "", stderr: "" };
    child.stdout.on("data", (data) => (ended.stdout += String(data)));
    child.stderr.on("data", (data) => (ended.stderr += String(data)));
    const [code] = (await once(child, "close")) as [number | null];
    return { code, ...ended };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of this.#running) await each.kill("SIGKILL");
    await rm(this.directory, { recursive: true });
  }
}

/** One `ol-registry` process. */
export class RegistryProcess {
  /** The line that it tells its supervisor: `ready URL` or `error TEXT`. */
  readonly word: Promise<string>;
  /** Its log, and what it says on standard error. */
  output = "";
  readonly #child: ChildProcess;
  readonly #closed: Promise<number | null>;

  constructor(config: string) {
    this.#child = spawn(process.execPath, [PROGRAM, "--config", config], {
      stdio: ["ignore", "pipe", "pipe", "pipe"],
      env: { ...process.env, OL_READY_FD: "3" },
    });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on("data", (data) => (this.output += String(data)));
    this.#closed = once(this.#child, "close").then(([code]) => code as number | null);
    this.word = firstLine(this.#child.stdio[3] as Readable);
  }

  /** Settles with its exit code; null after a signal that ended it. */
  get ended(): Promise<number | null> {
    return this.#closed;
  }

  /** Where it listens. Only of one that is ready. */
  async port(): Promise<number> {
    return Number(new URL((await this.word).replace(/^ready /u, "")).port);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async kill(name: NodeJS.Signals): Promise<number | null> {
    this.signal(name);
    return this.#closed;
  }
}

const firstLine = async (stream: Readable): Promise<string> => {
  let text = "";
  const timer = setTimeout(() => stream.destroy(new Error(`no word in ${START_MS} ms: ${text}`)), START_MS);
  for await (const data of stream) {
    text += String(data);
    if (text.includes("\n")) break;
  }
  clearTimeout(timer);
  return text.trimEnd();
};
