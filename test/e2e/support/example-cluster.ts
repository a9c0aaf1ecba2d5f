import { type SpawnSyncReturns, spawn, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { freePorts } from "../../../packages/common/src/index.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const ADMIN = path.join(ROOT, "packages/admin/bin/ol-admin.js");
const SCRIPT = path.join(ROOT, "quickstart/examples.sh");
export const EXAMPLES = path.join(ROOT, "quickstart/examples");
const COMMAND_MS = 120_000;

/** How a command ended, with stdout and stderr together. */
export interface Outcome {
  readonly code: number | null;
  readonly text: string;
}

const outcomeOf = ({ status, stdout, stderr }: SpawnSyncReturns<string>): Outcome => ({
  code: status,
  text: `${stdout}${stderr}`,
});

/** A reply to JSON with JSON. */
export interface JsonReply {
  readonly status: number;
  readonly json: unknown;
}

/** A reply as it came: the text, and when each piece of it was there, in ms since the request. */
export interface Arrivals {
  readonly text: string;
  readonly timesMs: readonly number[];
}

/** The cookies that a reply sets, as the client sends them back. */
export const cookiesOf = (reply: Response): string =>
  reply.headers
    .getSetCookie()
    .map((cookie) => cookie.split(";")[0])
    .join("; ");

/** A cluster for the examples, with one worker; packages are installed once for all tests of a file. */
export class ExampleCluster {
  readonly directory: string = path.join(mkdtempSync(path.join(tmpdir(), "ol-examples-")), "c");
  #url = "";

  /** Of its worker. */
  get url(): string {
    return this.#url;
  }

  /** The quickstart's command; what it prints is also shown while it runs. */
  quickstart(...names: string[]): Promise<Outcome> {
    const child = spawn("sh", [SCRIPT, `--cluster=${this.directory}`, ...names], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let text = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (data) => {
        text += String(data);
        process.stdout.write(String(data));
      });
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => resolve({ code, text }));
    });
  }

  admin(...tokens: string[]): Outcome {
    const command = [ADMIN, ...tokens, `--cluster=${this.directory}`];
    return outcomeOf(spawnSync(process.execPath, command, { encoding: "utf8", timeout: COMMAND_MS }));
  }

  /** `ol-admin`, which must succeed. */
  must(...tokens: string[]): string {
    const { code, text } = this.admin(...tokens);
    if (code !== 0) throw new Error(text);
    return text;
  }

  /** `ol-admin new`, where it is not the quickstart's command that makes it. */
  make(): void {
    this.must("new");
    // Somebody waits for the packages.
    this.must("setconf", '{"install_wait_ms": 600000}');
  }

  async start(): Promise<void> {
    const port = await freePorts(3);
    this.must("workers", `--port=${port}`);
    this.#url = `http://127.0.0.1:${port}`;
  }

  /** A copy of the application pychat, in which `ol-admin app` may write. */
  copyOfPychat(): string {
    const copy = path.join(path.dirname(this.directory), "pychat");
    cpSync(path.join(EXAMPLES, "pychat"), copy, { recursive: true });
    return copy;
  }

  /** Puts a function into the registry. */
  add(name: string, packages: readonly string[], code: string, memoryMb = 100): void {
    const directory = path.join(this.directory, "registry", name);
    mkdirSync(directory, { recursive: true });
    writeFileSync(path.join(directory, "packages.txt"), `${packages.join("\n")}\n`);
    writeFileSync(
      path.join(directory, "ol.yaml"),
      `environment:\n  OPENBLAS_NUM_THREADS: 1\nlimits:\n  mem_mb: ${memoryMb}\n`,
    );
    writeFileSync(path.join(directory, "f.py"), code);
  }

  get(target: string, init?: RequestInit): Promise<Response> {
    return fetch(`${this.#url}${target}`, init);
  }

  async post(target: string, value: unknown): Promise<JsonReply> {
    const body = JSON.stringify(value);
    const headers = { "content-type": "application/json" };
    const reply = await this.get(target, { method: "POST", body, headers });
    return { status: reply.status, json: await reply.json() };
  }

  async arrivals(target: string): Promise<Arrivals> {
    const began = performance.now();
    const reply = await this.get(target);
    const decoder = new TextDecoder();
    const timesMs: number[] = [];
    let text = "";
    for await (const piece of reply.body as unknown as AsyncIterable<Uint8Array>) {
      timesMs.push(performance.now() - began);
      text += decoder.decode(piece, { stream: true });
    }
    return { text, timesMs };
  }

  /** A function's result. */
  async result(name: string, event: unknown = {}): Promise<unknown> {
    const reply = await this.get(`/run/${name}`, { method: "POST", body: JSON.stringify(event) });
    const text = await reply.text();
    if (reply.status !== 200) throw new Error(`${name}: ${reply.status} ${text}`);
    return JSON.parse(text);
  }

  close(): void {
    this.admin("kill", "--timeout=0");
    rmSync(path.dirname(this.directory), { recursive: true, force: true });
  }
}
