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

const importsOf = async (worker: BenchWorker): Promise<number> => {
  const { zygotes } = (await worker.stats()) as WorkerStats;
  return (zygotes?.uses.partial ?? 0) + (zygotes?.uses.miss ?? 0);
};

/** Starts a cluster that knows nothing yet, but has the site's packages. */
export const startCluster = async (parts: ClusterParts): Promise<Cluster> => {
  const { site, python, slots, memoryMb, policy, settings } = parts;
  const cleanup = new CleanupStack();
  const start = async (at: number): Promise<BenchWorker> => {
    const name = `worker-${at}`;
    // A worker goes on with what it knew of zygotes.
    await rm(join(site.directory, name), { recursive: true, force: true });
    const worker = await startWorker({
      site,
      name,
      python,
      memoryMb,
      settings: { worker_slots: slots, trusted_proxies: ["127.0.0.1"], ...settings },
    });
    cleanup.add(async () => worker[Symbol.asyncDispose]());
    return worker;
  };
  try {
    const workers: BenchWorker[] = [];
    for (let at = 0; at < parts.workers; at += 1) workers.push(await start(at));
    const members = workers.map(({ port }) => ({ url: `http://127.0.0.1:${port}`, slots }));
    const balancer = await startBalancer(members, { policy });
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
