import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

import { descendantsOf, treesOf } from "../../../packages/sandbox/test/support/leftovers.ts";
import type { WorkerProcess } from "../../../packages/worker/test/http/worker-process.ts";
import { quantile } from "./load.ts";

/** What a worker and its broker take of the machine at one moment. */
export interface Footprint {
  readonly rssMb: number;
  readonly heapMb: number;
  readonly descriptors: number;
  readonly brokerRssMb: number;
  readonly brokerDescriptors: number;
}

const MIB = 1024 * 1024;
const EVERY_MS = 500;

const rssMbOf = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB$/mu.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;

const descriptorsOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

const footprintOf = async ({ pid, port }: WorkerProcess, broker: number): Promise<Footprint> => {
  const reply = await fetch(`http://127.0.0.1:${port}/debug`);
  const { memory } = (await reply.json()) as { memory: { heapUsed: number } };
  return {
    rssMb: rssMbOf(pid),
    heapMb: memory.heapUsed / MIB,
    descriptors: descriptorsOf(pid),
    brokerRssMb: rssMbOf(broker),
    brokerDescriptors: descriptorsOf(broker),
  };
};

/** Looks at a worker at a regular pace until the signal. */
export const watchFootprint = async (worker: WorkerProcess, stop: AbortSignal): Promise<Footprint[]> => {
  const broker = descendantsOf(worker.pid).find((pid) => treesOf(pid).length > 0);
  if (broker === undefined) throw new Error("the worker has no broker, or that has no zygote");
  const looks: Footprint[] = [];
  while (!stop.aborted) {
    looks.push(await footprintOf(worker, broker));
    await delay(EVERY_MS);
  }
  return looks;
};

/** Medians over the looks of the first and of the last `ms`; of the heap the least, as it was after a collection. */
export const firstAndLast = (
  looks: readonly Footprint[],
  ms: number,
): { readonly first: Footprint; readonly last: Footprint } => {
  const count = Math.max(1, Math.round(ms / EVERY_MS));
  return { first: middle(looks.slice(0, count)), last: middle(looks.slice(-count)) };
};

const middle = (looks: readonly Footprint[]): Footprint => {
  const of = (key: keyof Footprint, share: number): number =>
    quantile(
      looks.map((look) => look[key]),
      share,
    );
  return {
    rssMb: of("rssMb", 0.5),
    heapMb: of("heapMb", 0),
    descriptors: of("descriptors", 0.5),
    brokerRssMb: of("brokerRssMb", 0.5),
    brokerDescriptors: of("brokerDescriptors", 0.5),
  };
};
