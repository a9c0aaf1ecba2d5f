import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import path from "node:path";

import { freePorts } from "../../../packages/common/src/index.ts";
import type { LambdaStats } from "../../../packages/lambda/src/index.ts";
import { MODES, type Outcome, RealCluster, type RealWorker } from "./real-cluster.ts";

/** How long a worker may serve code without asking; each cluster here has it so. */
export const CACHE_MS = 1_000;
/** What trying new code may take besides, on a busy machine: a call waits for it for two seconds before it gets the old. */
export const SLACK_MS = 8_000 * Number(process.env["OL_TEST_SLOWNESS"] ?? "1");
const SEEN_MS = 60_000;
const LOOK_MS = 50;
const REPLY_MS = 60_000;
const PACE_MS = 2;

/** One call; times are of performance.now(). Status 0: the connection failed. */
export interface Call {
  readonly worker: number;
  readonly sentMs: number;
  readonly endedMs: number;
  readonly status: number;
  readonly text: string;
}

export type FunctionStats = LambdaStats["functions"][number];

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A cluster of three workers that takes its code from its own registry, all of it started by ol-admin. */
export class CodeCluster {
  readonly real: RealCluster;
  #port = 0;
  #registryPort = 0;
  #workers: RealWorker[] = [];

  /** Gone after the test. */
  static async start(workers: number): Promise<CodeCluster> {
    const cluster = new CodeCluster(await RealCluster.create(MODES[0]));
    await cluster.must("setconf", JSON.stringify({ registry_cache_ms: CACHE_MS }));
    cluster.#registryPort = await freePorts();
    await cluster.must("registry", `--port=${cluster.#registryPort}`);
    cluster.#port = await freePorts(3);
    await cluster.workers(workers);
    return cluster;
  }

  private constructor(real: RealCluster) {
    this.real = real;
  }

  /** Starts what of them does not run. */
  async workers(count: number): Promise<readonly RealWorker[]> {
    this.#workers = await this.real.start(count, this.#port);
    return this.#workers;
  }

  admin(...tokens: string[]): Promise<Outcome> {
    return this.real.admin(...tokens);
  }

  /** `ol-admin`, which must succeed. */
  async must(...tokens: string[]): Promise<string> {
    const { code, text } = await this.admin(...tokens);
    if (code !== 0) throw new Error(`ol-admin ${tokens.join(" ")}: ${text}`);
    return text;
  }

  /** Writes code, and returns where; it answers with `value` unless it is given. */
  code(name: string, value: number, python = `def f(event):\n    return ${value}\n`): string {
    const directory = path.join(path.dirname(this.real.directory), `${name}-${value}`);
    mkdirSync(directory);
    writeFileSync(path.join(directory, "f.py"), python);
    return directory;
  }

  upload(name: string, directory: string): Promise<Outcome> {
    return this.admin("upload", `--handler=${name}`, `--file=${directory}`);
  }

  /** Of the registry, as its pid file says. */
  get registryPid(): number {
    return Number(readFileSync(path.join(this.real.directory, "logs/registry.pid"), "utf8").split("\n")[0]);
  }

  /** Starts the registry again where it was. */
  restartRegistry(): Promise<string> {
    return this.must("registry");
  }

  log(name: string): string {
    return readFileSync(path.join(this.real.directory, `logs/${name}.out`), "utf8");
  }

  call(worker: number, name: string, agent?: Agent): Promise<Call> {
    const sentMs = performance.now();
    const url = this.#url(worker);
    return new Promise((resolve) => {
      const ended = (status: number, text: string): void =>
        resolve({ worker, sentMs, endedMs: performance.now(), status, text });
      const outgoing = request(
        `${url}/run/${name}`,
        { method: "POST", ...(agent && { agent }), timeout: REPLY_MS },
        (reply) => {
          let text = "";
          reply.setEncoding("utf8").on("data", (piece: string) => (text += piece));
          reply.on("error", (error) => ended(0, String(error)));
          reply.on("end", () => ended(reply.statusCode ?? 0, text));
        },
      );
      outgoing.on("timeout", () => outgoing.destroy(new Error("no reply")));
      outgoing.on("error", (error) => ended(0, String(error)));
      outgoing.end("{}");
    });
  }

  /** What the worker says of a function. */
  async stats(worker: number, name: string): Promise<FunctionStats | undefined> {
    const url = this.#url(worker);
    const { functions } = (await (await fetch(`${url}/stats`)).json()) as LambdaStats;
    return functions.find((one) => one.name === name);
  }

  /** Settles when every worker's figures of the function are so. */
  async all(name: string, what: string, so: (stats: FunctionStats) => boolean): Promise<void> {
    const untilMs = performance.now() + SEEN_MS;
    for (const worker of this.#workers.keys())
      for (;;) {
        const stats = await this.stats(worker, name);
        if (stats !== undefined && so(stats)) break;
        if (performance.now() > untilMs)
          throw new Error(`worker-${worker}: not ${what}: ${JSON.stringify(stats)}`);
        await sleep(LOOK_MS);
      }
  }

  #url(worker: number): string {
    const found = this.#workers[worker];
    if (found === undefined) throw new Error(`there is no worker-${worker}`);
    return found.url;
  }
}

/** Clients that call one function of some workers one call after the other, until they are told to stop. */
export class Callers {
  readonly calls: Call[] = [];
  readonly #cluster: CodeCluster;
  readonly #name: string;
  readonly #workers: readonly number[];
  readonly #agent: Agent = new Agent({ keepAlive: true });
  readonly #clients: Promise<void[]>;
  #sent = 0;
  #over = false;

  constructor(cluster: CodeCluster, name: string, workers: readonly number[], clientsEach: number) {
    this.#cluster = cluster;
    this.#name = name;
    this.#workers = workers;
    const clients = workers.flatMap((worker) => Array.from({ length: clientsEach }, () => worker));
    this.#clients = Promise.all(clients.map((worker) => this.#client(worker)));
  }

  /** Sent so far. */
  get sent(): number {
    return this.#sent;
  }

  /** Settles when every worker has answered with that value a call that was sent from now on. */
  async seen(value: number): Promise<void> {
    const sinceMs = performance.now();
    const untilMs = sinceMs + SEEN_MS;
    const has = (worker: number): boolean =>
      this.calls.some((call) => call.worker === worker && call.sentMs > sinceMs && call.text === `${value}`);
    while (!this.#workers.every(has)) {
      if (performance.now() > untilMs) throw new Error(`not every worker answers ${value}`);
      await sleep(LOOK_MS);
    }
  }

  /** Settles when the last call is answered. */
  async stop(): Promise<void> {
    this.#over = true;
    await this.#clients;
    this.#agent.destroy();
  }

  async #client(worker: number): Promise<void> {
    while (!this.#over) {
      this.#sent += 1;
      this.calls.push(await this.#cluster.call(worker, this.#name, this.#agent));
      await sleep(PACE_MS);
    }
  }
}

/** From when on the registry has something, and until something else is told to it; the last one never ends. */
export interface Epoch {
  /** What calls are answered with; undefined: there is no such lambda. */
  readonly value: number | undefined;
  /** When it was begun to be told. */
  readonly begunMs: number;
  /** When that was acknowledged. */
  readonly acknowledgedMs: number;
}

const fits = ({ status, text }: Call, { value }: Epoch): boolean =>
  value === undefined ? status === 404 : status === 200 && text === `${value}`;

/**
 * What is wrong with the calls, a sentence each: one with an answer that the registry did not have while it ran, an older one
 * CACHE_MS and SLACK_MS after the newer one was acknowledged, or an older one after that worker had answered with the newer.
 */
export const misled = (calls: readonly Call[], epochs: readonly Epoch[]): string[] => {
  const wrong: string[] = [];
  /** Of each worker, by epoch: when its first call with that answer ended. */
  const firstMs = new Map<number, number[]>();
  const ofEpoch = (call: Call): number =>
    epochs.findLastIndex(
      (epoch, at) => fits(call, epoch) && epoch.begunMs <= call.endedMs && !isOver(call, at),
    );
  const isOver = ({ worker, sentMs }: Call, at: number): boolean => {
    const next = epochs[at + 1];
    if (next === undefined) return false;
    const seenMs = (firstMs.get(worker) ?? []).slice(at + 1).find((ms) => ms < sentMs);
    return sentMs > next.acknowledgedMs + CACHE_MS + SLACK_MS || seenMs !== undefined;
  };
  for (const call of calls.toSorted((one, other) => one.endedMs - other.endedMs)) {
    const at = ofEpoch(call);
    if (at < 0) {
      wrong.push(`worker-${call.worker} at ${Math.round(call.sentMs)} ms: ${call.status} ${call.text}`);
      continue;
    }
    const seen = firstMs.get(call.worker) ?? Array.from({ length: epochs.length }, () => Infinity);
    seen[at] = Math.min(seen[at] ?? Infinity, call.endedMs);
    firstMs.set(call.worker, seen);
  }
  return wrong;
};

/** How long after an epoch was acknowledged the slowest worker first answered so, in ms; negative: it knew before. */
export const slowestMs = (calls: readonly Call[], epoch: Epoch): number => {
  const first = new Map<number, number>();
  for (const call of calls)
    if (fits(call, epoch) && call.endedMs >= epoch.begunMs)
      first.set(call.worker, Math.min(first.get(call.worker) ?? Infinity, call.endedMs));
  return Math.round(Math.max(...first.values()) - epoch.acknowledgedMs);
};
