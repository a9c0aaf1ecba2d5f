import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";

import { CleanupStack } from "@ol/common";

import { startBalancer } from "../balancer/proxies.ts";
import { type BenchSite, type BenchWorker, startWorker } from "../worker.ts";

/** What a cluster is made of. */
export interface ClusterParts {
  readonly site: BenchSite;
  readonly python: string;
  readonly workers: number;
  readonly slots: number;
  /** Of each worker, for all its sandboxes and zygotes. */
  readonly memoryMb: number;
  readonly policy: string;
  /** Keys of the workers' configuration besides. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** A balancer and its workers, each a process of its own. */
export interface Cluster extends AsyncDisposable {
  /** The balancer's. */
  readonly port: number;
  /** Sandboxes so far that imported packages themselves, on all workers. */
  imports(): Promise<number>;
}

/** Of a worker's `/stats`, what is wanted here. */
interface WorkerStats {
  readonly zygotes?: { readonly uses: { readonly partial: number; readonly miss: number } };
}

/** By which the workers know the balancer. */
const TOKEN = randomBytes(16).toString("hex");

const importsOf = async (worker: BenchWorker): Promise<number> => {
  const { zygotes } = (await worker.stats()) as WorkerStats;
  return (zygotes?.uses.partial ?? 0) + (zygotes?.uses.miss ?? 0);
};

const startOne = async (parts: ClusterParts, at: number): Promise<BenchWorker> => {
  const { site, python, slots, memoryMb, settings } = parts;
  const name = `worker-${at}`;
  // A worker goes on with what it knew of zygotes.
  await rm(join(site.directory, name), { recursive: true, force: true });
  return startWorker({
    site,
    name,
    python,
    memoryMb,
    settings: { worker_slots: slots, token: TOKEN, ...settings },
  });
};

/** All at once: one after the other, starting would take longer than measuring. If one fails, the others are ended. */
const startWorkers = async (parts: ClusterParts, cleanup: CleanupStack): Promise<readonly BenchWorker[]> => {
  const workers: BenchWorker[] = [];
  cleanup.add(async () => {
    await Promise.all(workers.map((worker) => worker[Symbol.asyncDispose]()));
  });
  const starts = await Promise.allSettled(
    Array.from({ length: parts.workers }, (_, at) => startOne(parts, at)),
  );
  for (const start of starts) if (start.status === "fulfilled") workers.push(start.value);
  for (const start of starts) if (start.status === "rejected") throw start.reason;
  return workers;
};

/** Starts a cluster that knows nothing yet, but has the site's packages. */
export const startCluster = async (parts: ClusterParts): Promise<Cluster> => {
  const { slots, policy } = parts;
  const cleanup = new CleanupStack();
  try {
    const workers = await startWorkers(parts, cleanup);
    const members = workers.map(({ port }) => ({ url: `http://127.0.0.1:${port}`, slots }));
    const balancer = await startBalancer(members, { policy, token: TOKEN });
    cleanup.add(async () => balancer[Symbol.asyncDispose]());
    return {
      port: balancer.port,
      imports: async () => {
        const counts = await Promise.all(workers.map(importsOf));
        return counts.reduce((sum, count) => sum + count, 0);
      },
      [Symbol.asyncDispose]: () => cleanup.run(),
    };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
};
