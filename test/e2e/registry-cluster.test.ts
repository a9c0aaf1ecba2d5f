import { describe, expect, it, onTestFinished } from "vitest";

import { Callers, CodeCluster, type Epoch, misled, slowestMs } from "./support/code-cluster.ts";
import { report } from "./support/load.ts";

/** How often the registry is killed under uploads; the soak does so more often. */
const KILLS = process.env["OL_TEST_SOAK"] === "1" ? 15 : 1;
const WORKERS = [0, 1, 2] as const;
const TEST_MS = process.env["OL_TEST_SOAK"] === "1" ? 1_800_000 : 400_000;
/** What the lambdas answer with that are uploaded while the registry is killed. */
const VALUE = 7;
const ACKNOWLEDGED_MS = 120_000;
const WRONG = "not-the-secret";
const BROKEN = "def f(event)\n    return 3\n";

/** Tells the registry something, and notes when. */
const tell = async (value: number | undefined, act: () => Promise<unknown>): Promise<Epoch> => {
  const begunMs = performance.now();
  await act();
  return { value, begunMs, acknowledgedMs: performance.now() };
};

const uploaded = (cluster: CodeCluster, name: string, value: number, python?: string): Promise<string> =>
  cluster.must("upload", `--handler=${name}`, `--file=${cluster.code(name, value, python)}`);

/** Uploads of new lambdas, two at a time, until they are told to stop. */
class Uploaders {
  readonly acknowledged: string[] = [];
  /** What the others said. */
  readonly failures: string[] = [];
  readonly #both: Promise<unknown>;
  #number = 0;
  #over = false;

  constructor(cluster: CodeCluster, prefix: string) {
    this.#both = Promise.all([this.#one(cluster, prefix), this.#one(cluster, prefix)]);
  }

  /** Settles when so many were acknowledged. */
  async acknowledge(count: number): Promise<void> {
    const untilMs = performance.now() + ACKNOWLEDGED_MS;
    while (this.acknowledged.length < count) {
      if (performance.now() > untilMs) throw new Error(`no ${count} uploads: ${this.failures.join("; ")}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async stop(): Promise<void> {
    this.#over = true;
    await this.#both;
  }

  async #one(cluster: CodeCluster, prefix: string): Promise<void> {
    while (!this.#over) {
      const name = `${prefix}-${(this.#number += 1)}`;
      const { code, text } = await cluster.upload(name, cluster.code(name, VALUE));
      if (code === 0) this.acknowledged.push(name);
      else this.failures.push(text.trim());
    }
  }
}

describe("a cluster with a registry", () => {
  it(
    "answers every call while code is uploaded, changed, broken and rolled back, and while the registry is killed and hangs",
    { timeout: TEST_MS },
    async () => {
      const cluster = await CodeCluster.start(WORKERS.length);
      const epochs: Epoch[] = [{ value: undefined, begunMs: 0, acknowledgedMs: 0 }];
      const callers = new Callers(cluster, "hello", WORKERS, 2);
      onTestFinished(() => callers.stop());

      // The first version, and a change.
      epochs.push(await tell(1, () => uploaded(cluster, "hello", 1)));
      await callers.seen(1);
      epochs.push(await tell(2, () => uploaded(cluster, "hello", 2)));
      await callers.seen(2);

      // One that cannot be loaded: the older one serves on, and each worker says why.
      await uploaded(cluster, "hello", 3, BROKEN);
      await cluster.all("hello", "told of the mistake", ({ fault }) => /SyntaxError/u.test(fault ?? ""));

      // Back to the one before it, and one more.
      await cluster.must("rollback", "hello");
      await cluster.all("hello", "rid of the mistake", ({ fault }) => fault === undefined);
      epochs.push(await tell(1, () => cluster.must("rollback", "hello")));
      await callers.seen(1);

      // Killed under uploads.
      const acknowledged: string[] = [];
      let failed = 0;
      for (let round = 0; round < KILLS; round += 1) {
        const uploaders = new Uploaders(cluster, `side-${round}`);
        onTestFinished(() => uploaders.stop());
        await uploaders.acknowledge(2);
        process.kill(cluster.registryPid, "SIGKILL");
        await cluster.all("hello", "doubtful", ({ staleSinceMs }) => staleSinceMs !== undefined);
        const first = await cluster.call(0, `never-${round}`);
        expect(first).toMatchObject({ status: 500 });
        expect(first.text).toBe(
          `the registry could not give the code of never-${round} (OL_REGISTRY_CLIENT_UNREACHABLE)\n`,
        );
        await uploaders.stop();
        for (const text of uploaders.failures)
          expect(text).toMatch(/the registry at http:\S+ cannot be reached: /u);
        expect((await cluster.admin("status")).code).toBe(1);
        await cluster.restartRegistry();
        await cluster.all("hello", "sure again", ({ staleSinceMs }) => staleSinceMs === undefined);
        acknowledged.push(...uploaders.acknowledged);
        failed += uploaders.failures.length;
      }
      const listed = JSON.parse(await cluster.must("list", "--json")) as { name: string }[];
      expect(listed.map(({ name }) => name)).toEqual(expect.arrayContaining(acknowledged));
      for (const [at, name] of acknowledged.entries())
        expect(await cluster.call(at % WORKERS.length, name)).toMatchObject({
          status: 200,
          text: `${VALUE}`,
        });

      // It hangs, and then goes on.
      const { registryPid } = cluster;
      process.kill(registryPid, "SIGSTOP");
      const hungMs = performance.now();
      await cluster.all("hello", "doubtful", ({ staleSinceMs }) => staleSinceMs !== undefined);
      process.kill(registryPid, "SIGCONT");
      const longestMs = Math.max(
        ...callers.calls
          .filter(({ endedMs }) => endedMs > hungMs)
          .map(({ sentMs, endedMs }) => endedMs - sentMs),
      );
      epochs.push(await tell(4, () => uploaded(cluster, "hello", 4)));
      await callers.seen(4);
      await callers.stop();

      const { calls, sent } = callers;
      report("a cluster with a registry", {
        sent,
        answered: calls.length,
        notThereYet: calls.filter(({ status }) => status === 404).length,
        uploads: { acknowledged: acknowledged.length, failed },
        newCodeSeenMs: epochs.slice(1).map((epoch) => slowestMs(calls, epoch)),
        longestWhileItHungMs: longestMs,
      });
      expect(calls.length).toBe(sent);
      expect(misled(calls, epochs).slice(0, 10)).toEqual([]);
      for (const worker of WORKERS) {
        const answered = calls.filter((call) => call.worker === worker && call.status === 200).length;
        const stats = await cluster.stats(worker, "hello");
        expect(stats?.calls).toMatchObject({ accepted: answered, answered, errors: {} });
      }
    },
  );

  it(
    "has one worker with wrong keys, which says so in one line, and harms nobody else",
    { timeout: TEST_MS },
    async () => {
      const cluster = await CodeCluster.start(WORKERS.length);
      await uploaded(cluster, "hello", 1);
      const [, , last] = cluster.real.workers();
      process.kill(last?.pid ?? 0, "SIGKILL");
      await cluster.must("setconf", `{"registry_secret_key": "${WRONG}"}`);
      await cluster.workers(WORKERS.length);
      const callers = new Callers(cluster, "hello", [0, 1], 2);
      onTestFinished(() => callers.stop());
      await callers.seen(1);

      // What the others have fetched is known to it; what nobody has it cannot get.
      expect(await cluster.call(2, "hello")).toMatchObject({ status: 200, text: "1" });
      await uploaded(cluster, "fresh", 5);
      expect(await cluster.call(2, "fresh")).toMatchObject({
        status: 500,
        text: "the registry could not give the code of fresh (OL_REGISTRY_CLIENT_DENIED)\n",
      });
      for (const worker of [0, 1])
        expect(await cluster.call(worker, "fresh")).toMatchObject({ status: 200, text: "5" });
      const change = await tell(2, () => uploaded(cluster, "hello", 2));
      await callers.seen(2);
      await callers.stop();

      expect(callers.calls.length).toBe(callers.sent);
      const before: Epoch = { value: 1, begunMs: 0, acknowledgedMs: 0 };
      expect(misled(callers.calls, [before, change]).slice(0, 10)).toEqual([]);
      const log = cluster.log("worker-2");
      expect(log).not.toContain(WRONG);
      const said = log
        .trim()
        .split("\n")
        .filter((line) => line.includes('"lambda":"fresh"') && line.includes('"warn"'));
      expect(said).toEqual([expect.stringMatching(/the secret key is not that of the access key/u)]);
      for (const name of ["worker-0", "worker-1"]) expect(cluster.log(name)).not.toContain('"warn"');
    },
  );
});
