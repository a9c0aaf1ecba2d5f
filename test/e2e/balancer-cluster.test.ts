import { mkdirSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";

import { expect, it } from "vitest";

import { freePorts } from "../../packages/common/src/index.ts";
import { SLOWNESS } from "../../packages/sandbox/test/support/scale.ts";
import { startBalancerProcess } from "./support/balancer-process.ts";
import { Ledger, LEDGER_PYTHON } from "./support/ledger.ts";
import { MODES, RealCluster } from "./support/real-cluster.ts";

/** At each of two balancers. */
const CLIENTS = 4;
const ROUNDS = process.env["OL_TEST_SOAK"] === "1" ? 10 : 1;
const [MODE] = MODES;
const PATIENCE = { timeout: 60_000 * SLOWNESS };
const CALL_MS = 60_000 * SLOWNESS;

/** What came of one call. */
interface Outcome {
  readonly number: string;
  /** What was being done to the cluster when it was sent. */
  readonly phase: string;
  /** 0: there was no whole reply; -1: there was nobody to send it to. */
  readonly status: number;
  readonly text: string;
}

const call = (port: number, number: string, phase: string): Promise<Outcome> =>
  new Promise((resolve) => {
    const end = (status: number, text: string): void => resolve({ number, phase, status, text });
    const options = { agent: false, host: "127.0.0.1", port, method: "POST", path: "/run/note" };
    const sent = request({ ...options, signal: AbortSignal.timeout(CALL_MS) }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      response.once("error", (error) => end(0, String(error)));
      response.once("end", () => end(response.statusCode ?? 0, text));
    });
    sent.once("error", (error: NodeJS.ErrnoException) =>
      end(error.code === "ECONNREFUSED" ? -1 : 0, String(error)),
    );
    sent.end(JSON.stringify({ number }));
  });

const waited = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Clients that call at two balancers, one call after the other, until they are told to stop. */
class Load {
  readonly outcomes: Outcome[] = [];
  phase = "before";
  #stopped = false;
  readonly #clients: readonly Promise<void>[];
  #calls = 0;

  constructor(ports: readonly number[]) {
    this.#clients = ports.flatMap((port) => Array.from({ length: CLIENTS }, () => this.#client(port)));
  }

  get sent(): number {
    return this.#calls;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#clients);
  }

  async #client(port: number): Promise<void> {
    while (!this.#stopped) {
      this.#calls += 1;
      const outcome = await call(port, `${port}-${this.#calls}`, this.phase);
      this.outcomes.push(outcome);
      // Who finds nobody tries again a little later.
      if (outcome.status !== 200) await waited(20);
    }
  }
}

/** What may come of a call in each phase besides its reply; everything else is a loss that nothing excuses. */
const ALLOWED: Readonly<Record<string, readonly number[]>> = {
  // What the killed worker was running is gone, and must not be run again; of calls that it had not begun only so many at
  // once are sent elsewhere, the others are told that they were not run.
  "a worker is killed": [502, 503],
  "a worker is frozen": [],
  "workers are replaced": [],
  "a worker is added": [],
  // It refuses before it is gone, and is not there until the next one is. Who connects just when it ends has his connection
  // reset by the kernel, unheard.
  "a balancer is replaced": [503, -1, 0],
  "in the end": [],
};

it("a cluster whose workers and balancers are killed, frozen, replaced and added under load runs each call at most once, and loses only what a process took along", async () => {
  await using ledger = await Ledger.open();
  const cluster = await RealCluster.create(MODE);
  const directory = join(cluster.directory, "registry/note");
  mkdirSync(directory);
  writeFileSync(
    join(directory, "f.py"),
    `${LEDGER_PYTHON}\nimport time\n\ndef f(event):\n    _ledger.sendall(event["number"].encode() + b"\\n")\n    time.sleep(0.02)\n    return event["number"]\n`,
  );
  writeFileSync(join(directory, "ol.yaml"), `environment:\n  LEDGER: "${ledger.port}"\n`);
  const must = async (...tokens: string[]): Promise<string> => {
    const { code, text } = await cluster.admin(...tokens);
    if (code !== 0) throw new Error(text);
    return text;
  };
  const port = await freePorts(4);
  await must("load-balancer", `--port=${port}`, "--policy=RoundRobin");
  const workers = await cluster.start(2, port + 1);
  await using other = await startBalancerProcess([], {
    workers_file: join(cluster.directory, "config/workers.json"),
  });
  const ports = [port, other.port];
  for (const one of ports)
    await expect.poll(async () => (await call(one, "warm", "")).status, PATIENCE).toBe(200);

  const load = new Load(ports);
  const during = async (phase: string, work: () => Promise<unknown>): Promise<void> => {
    load.phase = phase;
    await work();
    await waited(500);
  };
  for (let round = 0; round < ROUNDS; round += 1) {
    await during("a worker is killed", async () => {
      await waited(500);
      process.kill(cluster.workers()[0]?.pid ?? 0, "SIGKILL");
      await waited(500);
      await must("workers");
    });
    await during("a worker is frozen", async () => {
      const pid = cluster.workers()[1]?.pid ?? 0;
      process.kill(pid, "SIGSTOP");
      await waited(3_000);
      process.kill(pid, "SIGCONT");
    });
    await during("workers are replaced", () => must("workers", "--restart"));
    if (round === 0) await during("a worker is added", () => must("workers"));
    await during("a balancer is replaced", async () => {
      await must("load-balancer", "--stop");
      await must("load-balancer");
    });
  }
  await during("in the end", () => waited(1_000));
  await load.stop();

  const { outcomes } = load;
  expect(outcomes.length).toBe(load.sent);
  const runs = ({ number }: Outcome): number => ledger.runsOf(number);
  expect(outcomes.filter((outcome) => runs(outcome) > 1)).toEqual([]);
  const replied = outcomes.filter(({ status }) => status === 200);
  expect(replied.length).toBeGreaterThan(200);
  expect(replied.filter((outcome) => outcome.text !== `"${outcome.number}"` || runs(outcome) !== 1)).toEqual(
    [],
  );
  const failed = outcomes.filter(({ status }) => status !== 200);
  expect(failed.filter(({ phase, status }) => !(ALLOWED[phase] ?? []).includes(status))).toEqual([]);
  // Who was refused was not run, and at most one call of each client was with the worker that died.
  expect(failed.filter((outcome) => outcome.status !== 502 && runs(outcome) > 0)).toEqual([]);
  expect(failed.filter(({ status }) => status === 502).length).toBeLessThanOrEqual(2 * CLIENTS * ROUNDS);
  expect(workers.length).toBe(2);
});
