// A worker process in a directory of its own, for soaks of packages.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { repositoryRoot } from "./workspace.mjs";

const startMs = 60_000;
const callMs = 600_000;

export class PackageWorker {
  #child;
  #log = "";

  /** With the machine's own uv or pip, and its index. */
  static async start(config = {}) {
    const worker = new PackageWorker();
    worker.directory = await mkdtemp(join(tmpdir(), "ol-soak-packages-"));
    await mkdir(join(worker.directory, "registry"));
    const file = join(worker.directory, "worker-0.json");
    const limits = { mem_mb: 1_000, procs: 100, runtime_sec: 120 };
    const all = {
      worker_port: 0,
      worker_dir: "work",
      mem_pool_mb: 4_000,
      limits,
      install_wait_ms: callMs,
      ...config,
    };
    await writeFile(file, JSON.stringify(all));
    const bin = join(repositoryRoot, "apps/worker/bin/ol-worker.js");
    const child = spawn(process.execPath, [bin, "--config", file], {
      stdio: ["ignore", "pipe", "pipe", "pipe"],
      env: { ...process.env, OL_READY_FD: "3" },
    });
    worker.#child = child;
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (worker.#log += data));
    const [line] = await once(child.stdio[3], "data", { signal: AbortSignal.timeout(startMs) });
    if (!String(line).startsWith("ready "))
      throw new Error(`the worker did not start: ${line}${worker.#log}`);
    worker.url = `http://127.0.0.1:${new URL(String(line).slice("ready ".length)).port}`;
    return worker;
  }

  async lambda(name, requirements, python, config) {
    const directory = join(this.directory, "registry", name);
    await mkdir(directory);
    await writeFile(join(directory, "requirements.txt"), `${requirements}\n`);
    await writeFile(join(directory, "f.py"), python);
    if (config !== undefined) await writeFile(join(directory, "ol.yaml"), config);
  }

  /** What the lambda returns, and in what time; fails with the answer's text. */
  async call(name) {
    const sinceMs = performance.now();
    const reply = await fetch(`${this.url}/run/${name}`, {
      method: "POST",
      body: "{}",
      signal: AbortSignal.timeout(callMs),
    });
    const text = await reply.text();
    const ms = performance.now() - sinceMs;
    if (reply.status !== 200) throw new Error(`${reply.status} ${text.trim().split("\n").at(-1)}`);
    return { value: JSON.parse(text), ms };
  }

  async stats() {
    return (await fetch(`${this.url}/stats`)).json();
  }

  /** Settles when everything that was installed is compiled. */
  async compiled() {
    for (;;) {
      const { packages } = await this.stats();
      if (packages.compiled >= packages.installed) return;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  async close() {
    this.#child.kill("SIGTERM");
    await once(this.#child, "exit");
    await rm(this.directory, { recursive: true, force: true });
  }
}
