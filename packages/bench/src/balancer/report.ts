import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

import { benchError } from "../errors.ts";
import { runLoad } from "../load.ts";
import { describeLoad, describeMachine } from "../machine.ts";
import { realPython } from "../python.ts";
import { atMost, type Results, type Row } from "../results.ts";
import { pairedRatios, summarize } from "../statistics.ts";
import { type BenchSite, type BenchWorker, makeSite, startWorker } from "../worker.ts";

export interface ReportOptions {
  readonly rounds: number;
  readonly warmupMs: number;
  /** How long the worker reports, or not, before it changes. */
  readonly turnMs: number;
  readonly connections: number;
  /** Told what begins. */
  readonly progress: (what: string) => void;
}

export const DEFAULT_REPORT: Omit<ReportOptions, "progress"> = {
  rounds: 300,
  warmupMs: 5_000,
  turnMs: 250,
  connections: 32,
};

/** Always the built one: Node 20 loads no TypeScript. */
const PRELOAD = new URL("../../dist/balancer/unreported.js", import.meta.url);
const LAMBDA = "hello";
const MEMORY_MB = 1_024;
/** Of the CPU time of a worker that reports nothing. */
const MOST_OF_UNREPORTED = 1.02;
/** As a balancer asks for a worker's state: so often while it reports. */
const STATE_EVERY_MS = 1_000;
const STATE_MS = 10_000;
/** Calls go on for longer than the turns take, whatever is between them. */
const LONGER = 1.1;
const MARGIN_MS = 3_000;
/** As long as nothing is answered, a turn goes on. */
const MOST_TURNS = 50;
/** Rounds between what is told of them. */
const TOLD = 50;

/** What one worker does in turn, and what its calls took in CPU time. */
interface Contender {
  readonly name: string;
  readonly reports: boolean;
  readonly cpuUs: number[];
}

/** Since the worker began. */
interface Usage {
  readonly calls: number;
  readonly cpuUs: number;
}

const WITH = "with the report";
const WITHOUT = "without";
const CONTROL = "without, once more";

/** A worker that reports its load or does not, as it is told. */
class Reporter implements AsyncDisposable {
  readonly #worker: BenchWorker;
  readonly #connection: Socket;
  readonly #lines: AsyncIterator<string>;
  #since = "";

  static async start(site: BenchSite, python: string): Promise<Reporter> {
    const socket = join(site.directory, "report.sock");
    const preload = new URL(PRELOAD);
    preload.searchParams.set("socket", socket);
    const settings = { trusted_proxies: ["127.0.0.1"] };
    const nodeArgs = ["--import", preload.href];
    const worker = await startWorker({
      site,
      name: "worker",
      python,
      memoryMb: MEMORY_MB,
      settings,
      nodeArgs,
    });
    const connection = connect(socket);
    await once(connection, "connect");
    return new Reporter(worker, connection);
  }

  private constructor(worker: BenchWorker, connection: Socket) {
    this.#worker = worker;
    this.#connection = connection;
    this.#lines = createInterface(connection)[Symbol.asyncIterator]();
  }

  get port(): number {
    return this.#worker.port;
  }

  /** Has it report, or not, from now on; what it has used so far. */
  async set(reports: boolean): Promise<Usage> {
    this.#connection.write(reports ? "1\n" : "0\n");
    const { done, value } = await this.#lines.next();
    if (done === true) throw benchError("OL_BENCH_HELPER_FAILED", "the worker under trial has ended");
    return JSON.parse(value) as Usage;
  }

  /** Fails unless its replies say of its load what they should: the same beside the same would cost nothing. */
  async check(reports: boolean): Promise<void> {
    await this.set(reports);
    const reply = await fetch(`http://127.0.0.1:${this.port}/run/${LAMBDA}`, {
      method: "POST",
      body: "{}",
      signal: AbortSignal.timeout(STATE_MS),
    });
    const text = await reply.text();
    const said = ["x-ol-load", "x-ol-warm"].filter((name) => reply.headers.has(name));
    if (reply.status !== 200 || said.length !== (reports ? 2 : 0))
      throw benchError("OL_BENCH_WRONG_REPLY", `${reply.status} ${text}: [${said.join()}]`);
  }

  /** Asks for its state as a balancer does: for what has changed. */
  async askForState(): Promise<void> {
    const reply = await fetch(`http://127.0.0.1:${this.port}/state${this.#since}`, {
      signal: AbortSignal.timeout(STATE_MS),
    });
    if (reply.status !== 200)
      throw benchError("OL_BENCH_WRONG_REPLY", `/state: ${reply.status} ${await reply.text()}`);
    const { epoch } = (await reply.json()) as { readonly epoch: number };
    this.#since = `?since=${epoch}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection.destroy();
    await this.#worker[Symbol.asyncDispose]();
  }
}

/** What was used after a turn; one in which nothing was answered, on a machine that does other things, goes on. */
const usageAfter = async (
  reporter: Reporter,
  reports: boolean,
  before: Usage,
  turnMs: number,
): Promise<Usage> => {
  for (let tries = 0; tries < MOST_TURNS; tries += 1) {
    await sleep(turnMs);
    const after = await reporter.set(reports);
    if (after.calls > before.calls) return after;
  }
  throw benchError("OL_BENCH_WRONG_REPLY", `no reply within ${MOST_TURNS * turnMs} ms`);
};

const takeTurns = async (
  reporter: Reporter,
  contenders: readonly Contender[],
  { rounds, turnMs, progress }: ReportOptions,
): Promise<void> => {
  let unaskedMs = STATE_EVERY_MS;
  for (let round = 0; round < rounds; round += 1) {
    if (round % TOLD === 0) progress(`round ${round + 1} of ${rounds}`);
    for (let turn = 0; turn < contenders.length; turn += 1) {
      // Who is first changes with every round.
      const { reports, cpuUs } = contenders[(round + turn) % contenders.length] as Contender;
      const before = await reporter.set(reports);
      if (reports) {
        unaskedMs += turnMs;
        if (unaskedMs >= STATE_EVERY_MS) {
          unaskedMs = 0;
          await reporter.askForState();
        }
      }
      const after = await usageAfter(reporter, reports, before, turnMs);
      cpuUs.push((after.cpuUs - before.cpuUs) / (after.calls - before.calls));
    }
  }
};

/**
 * What reporting its load costs a worker, in CPU time for each call of a warm lambda: the headers of each reply, and its state once a second,
 * against no such headers and nobody who asks. Both are the same process, which changes between them several times a second: two
 * processes with the same code differ by more than the report costs. A second time without it shows how much of a difference means
 * nothing.
 */
export const runReport = async (options: ReportOptions): Promise<Results> => {
  const { rounds, warmupMs, turnMs, connections } = options;
  const notes = describeLoad();
  const python = await realPython();
  await using site = await makeSite();
  await site.addLambda(LAMBDA);
  await using reporter = await Reporter.start(site, python);
  for (const reports of [false, true]) await reporter.check(reports);
  const without: Contender = { name: WITHOUT, reports: false, cpuUs: [] };
  const withReport: Contender = { name: WITH, reports: true, cpuUs: [] };
  const control: Contender = { name: CONTROL, reports: false, cpuUs: [] };
  const contenders = [without, withReport, control];
  const durationMs = rounds * contenders.length * turnMs * LONGER + MARGIN_MS;
  const load = runLoad({ port: reporter.port, path: `/run/${LAMBDA}`, connections, warmupMs, durationMs });
  const turns = sleep(warmupMs).then(() => takeTurns(reporter, contenders, options));
  await Promise.all([load, turns]);
  // What both turns without it of the same round took.
  const none = without.cpuUs.map((us, round) => (us + (control.cpuUs[round] as number)) / 2);
  const row = ({ name, cpuUs }: Contender): Row => ({
    name: `${name}: CPU a call`,
    unit: "us",
    values: summarize(cpuUs),
    ratios: { [WITHOUT]: pairedRatios(cpuUs, none) },
  });
  const ratio = pairedRatios(withReport.cpuUs, none).median;
  const noise = pairedRatios(control.cpuUs, without.cpuUs).median;
  return {
    machine: describeMachine(python),
    rows: contenders.map(row),
    aims: [atMost("CPU a call with the load report / without", ratio, MOST_OF_UNREPORTED)],
    notes: [...notes, `two turns without it differ by a factor of ${noise.toFixed(3)}: less means nothing`],
  };
};
