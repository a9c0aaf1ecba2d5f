import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request as httpRequest } from "node:http";
import { join } from "node:path";

import { onTestFinished } from "vitest";

import type { LambdaStats } from "../../../packages/lambda/src/index.ts";
import type { PoolStats } from "../../../packages/sandbox/src/index.ts";
import { startWorkerProcess, type WorkerProcess } from "../../../packages/worker/test/http/worker-process.ts";
import { Ledger, LEDGER_PYTHON } from "./ledger.ts";

/** How a call went. Status 0: the connection failed, and `text` says how. */
export interface Answer {
  readonly lambda: string;
  readonly event: unknown;
  readonly status: number;
  /** The invocation id that the worker gave it. */
  readonly id: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** From sending it to the end of its reply. */
  readonly ms: number;
}

/** What a worker tells of itself. */
export type WorkerStats = LambdaStats & { readonly pool: Omit<PoolStats, "engine"> };

const REPLY_MS = 60_000;
const SETTLE_MS = 30_000;
const SETTLE_STEP_MS = 20;

/** A worker process with lambdas that count their calls, and clients of it that keep their connections alive. */
export class LoadRig {
  readonly ledger: Ledger;
  readonly #config: Readonly<Record<string, unknown>>;
  #worker: WorkerProcess;
  readonly #agent = new Agent({ keepAlive: true });

  /** Gone after the test. */
  static async start(config: Readonly<Record<string, unknown>> = {}): Promise<LoadRig> {
    const ledger = await Ledger.open();
    onTestFinished(() => ledger[Symbol.asyncDispose]());
    const rig = new LoadRig(config, await startWorkerProcess(config), ledger);
    onTestFinished(async () => {
      rig.#agent.destroy();
      await rig.worker.close();
    });
    return rig;
  }

  private constructor(config: Readonly<Record<string, unknown>>, worker: WorkerProcess, ledger: Ledger) {
    this.#config = config;
    this.#worker = worker;
    this.ledger = ledger;
  }

  get worker(): WorkerProcess {
    return this.#worker;
  }

  /** Stops the worker and starts another one in its directory. */
  async restart(): Promise<void> {
    this.#worker.signal("SIGTERM");
    await this.#worker.exited;
    this.#worker = await startWorkerProcess(this.#config, this.#worker);
  }

  /** Puts a lambda into the registry; `python` comes after the ledger's part, `yaml` after its environment's last line. */
  add(name: string, python: string, yaml = ""): void {
    const directory = join(this.worker.registryDir, name);
    const fresh = `${directory}.new`;
    mkdirSync(fresh);
    writeFileSync(join(fresh, "f.py"), LEDGER_PYTHON + python);
    writeFileSync(
      join(fresh, "ol.yaml"),
      `network: host\nenvironment:\n  LEDGER: ${this.ledger.port}\n${yaml}`,
    );
    rmSync(directory, { recursive: true, force: true });
    renameSync(fresh, directory);
  }

  /** One call; never rejects. */
  call(lambda: string, event: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    const beganMs = performance.now();
    const body = JSON.stringify(event);
    const answer = (rest: Pick<Answer, "status" | "id" | "headers" | "text">): Answer => ({
      lambda,
      event,
      ms: performance.now() - beganMs,
      ...rest,
    });
    return new Promise((resolve) => {
      const failed = (error: Error): void =>
        resolve(answer({ status: 0, id: "", headers: {}, text: String(error) }));
      const request = httpRequest(
        {
          agent: this.#agent,
          host: "127.0.0.1",
          port: this.worker.port,
          method: "POST",
          path: `/run/${lambda}`,
          headers: { ...headers, "content-length": Buffer.byteLength(body) },
        },
        (response) => {
          let text = "";
          response.setEncoding("utf8");
          response.on("data", (data: string) => (text += data));
          response.on("error", failed);
          response.on("end", () => {
            const { statusCode: status = 0, headers: replied } = response;
            resolve(answer({ status, id: String(replied["x-ol-invocation-id"]), headers: replied, text }));
          });
        },
      );
      request.setTimeout(REPLY_MS, () => request.destroy(new Error("no reply")));
      request.on("error", failed);
      request.end(body);
    });
  }

  async stats(): Promise<WorkerStats> {
    const reply = await fetch(`http://127.0.0.1:${this.worker.port}/stats`);
    return (await reply.json()) as WorkerStats;
  }

  /** Once nothing runs and nothing waits any more. */
  async settled(): Promise<WorkerStats> {
    const untilMs = performance.now() + SETTLE_MS;
    for (;;) {
      const stats = await this.stats();
      if (stats.running === 0 && stats.queued === 0) return stats;
      if (performance.now() > untilMs) throw new Error(`calls are left: ${JSON.stringify(stats.calls)}`);
      await new Promise((resolve) => setTimeout(resolve, SETTLE_STEP_MS));
    }
  }

  /**
   * What is not as it should be with calls that were answered: one that was not run exactly once; one that was refused or
   * not answered and was run; runs of calls that nobody sent. To be asked once `settled`.
   */
  miscounted(answers: readonly Answer[]): string[] {
    const wrong: string[] = [];
    let expected = 0;
    for (const answer of answers) {
      const due = wasBegun(answer) ? 1 : 0;
      expected += due;
      const runs = this.ledger.runsOf(answer.id);
      if (runs !== due || answer.status === 0)
        wrong.push(`${answer.status} ${answer.text.slice(0, 200).trim()}: run ${runs} times`);
    }
    if (this.ledger.total !== expected) wrong.push(`${this.ledger.total} runs and not ${expected}`);
    return wrong.slice(0, 10);
  }
}

/** Whether a call was begun, going by its reply. */
const wasBegun = ({ status }: Answer): boolean => ![0, 400, 404, 413, 429, 503].includes(status);

/** The first few of answers that should not be, one line each. */
export const named = (answers: readonly Answer[]): string[] =>
  answers
    .slice(0, 5)
    .map(
      ({ lambda, event, status, text }) =>
        `${lambda}(${JSON.stringify(event)}): ${status} ${text.slice(0, 300)}`,
    );

/** How many answers there are of each status. */
export const statusesOf = (answers: readonly Answer[]): Record<number, number> => {
  const counts: Record<number, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
};

/** The value that the given share of all values does not exceed; 0 of none. */
export const quantile = (values: readonly number[], share: number): number => {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
};

/** So many clients that do the same, one call after the other, until the time is over. */
export const clientsFor = async (
  count: number,
  ms: number,
  one: (client: number) => Promise<Answer>,
): Promise<Answer[]> => {
  const untilMs = performance.now() + ms;
  const answers: Answer[] = [];
  const client = async (at: number): Promise<void> => {
    while (performance.now() < untilMs) answers.push(await one(at));
  };
  await Promise.all(Array.from({ length: count }, (_, at) => client(at)));
  return answers;
};

/** What `work` does at once, so often. */
export const atOnce = <Value>(count: number, work: (at: number) => Promise<Value>): Promise<Value[]> =>
  Promise.all(Array.from({ length: count }, (_, at) => work(at)));

/** A figure that a test found, for people who read its output. */
export const report = (what: string, figures: Readonly<Record<string, unknown>>): void =>
  console.info(`${what}: ${JSON.stringify(figures, rounded)}`);

const rounded = (_: string, value: unknown): unknown =>
  typeof value === "number" ? Math.round(value * 100) / 100 : value;
