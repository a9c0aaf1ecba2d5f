import { cp, mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { type Client, type TestReply, agentClient } from "../../../packages/worker/test/http/clients.ts";
import { startWorkerProcess, type WorkerProcess } from "../../../packages/worker/test/http/worker-process.ts";

const APPS = fileURLToPath(new URL("apps", import.meta.url));

/** Both kinds of apps; each test of the apps runs for both. */
export const KINDS = ["wsgi", "asgi"] as const;
export type Kind = (typeof KINDS)[number];

/** What an app says of itself under /noted. */
export interface Noted {
  /** Which sandbox it is. */
  readonly self: string;
  readonly notes: readonly Readonly<Record<string, unknown>>[];
}

/** A worker process with the apps of `support/apps` in its registry, and an everyday client. */
export class AppWorker {
  readonly process: WorkerProcess;
  readonly #client: Client = agentClient();

  static async start(config?: Readonly<Record<string, unknown>>): Promise<AppWorker> {
    const worker = new AppWorker(await startWorkerProcess(config));
    await cp(APPS, worker.process.registryDir, {
      recursive: true,
      filter: (file) => !file.endsWith("__pycache__"),
    });
    return worker;
  }

  private constructor(process: WorkerProcess) {
    this.process = process;
  }

  get port(): number {
    return this.process.port;
  }

  /** Puts the app of `kind` into the registry under another name, with an ol.yaml. */
  async add(name: string, kind: Kind, yaml = ""): Promise<void> {
    const directory = path.join(this.process.registryDir, name);
    await cp(path.join(APPS, kind, "f.py"), path.join(directory, "f.py"));
    await writeFile(path.join(directory, "ol.yaml"), yaml);
  }

  async addFunction(name: string, python: string, yaml = ""): Promise<void> {
    const directory = path.join(this.process.registryDir, name);
    await mkdir(directory);
    await writeFile(path.join(directory, "f.py"), python);
    await writeFile(path.join(directory, "ol.yaml"), yaml);
  }

  get(target: string, headers: Readonly<Record<string, string>> = {}): Promise<TestReply> {
    return this.#client.send(this.port, { method: "GET", path: target, headers });
  }

  post(target: string, body: string | Buffer): Promise<TestReply> {
    return this.#client.send(this.port, { method: "POST", path: target, body });
  }

  async json<Value>(target: string): Promise<Value> {
    const { status, body } = await this.get(target);
    if (status !== 200) throw new Error(`${target}: ${status} ${body.toString()}`);
    return JSON.parse(body.toString()) as Value;
  }

  noted(name: string): Promise<Noted> {
    return this.json<Noted>(`/run/${name}/noted`);
  }

  async close(): Promise<void> {
    await this.#client.close();
    await this.process.close();
  }
}
