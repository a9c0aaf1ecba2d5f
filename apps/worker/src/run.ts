import { firstSignal, messageOf, type Readiness } from "@ol/common";
import { loadWorkerConfig } from "@ol/config";

import { type HandOver } from "./hand-over.ts";
import { type RunningWorker, startWorker } from "./process.ts";
import { type Standby } from "./standby.ts";

type Stop =
  | { readonly by: "signal"; readonly signal: string }
  | { readonly by: "lost"; readonly reason: string };

/** After the engine is lost nothing runs any more; this only bounds clients that do not read their errors. */
const LOST_DEADLINE_MS = 5_000;

/** With the second signal the process ends at once, and every sandbox too: the broker goes with us. */
const signalledToStop = async (): Promise<Stop> => ({ by: "signal", signal: await firstSignal() });

const engineLost = async (worker: RunningWorker): Promise<Stop> => ({
  by: "lost",
  reason: await worker.lost,
});

/** What whoever started this process has to do with it. */
export interface Supervisor {
  readonly readiness: Readiness;
  readonly standby: Standby;
  readonly handOver: HandOver;
}

/** Waits, as far as it has to, until it may begin; false if that is not to be. */
const mayBegin = async (
  file: string,
  readiness: Readiness,
  standby: Standby,
  signalled: Promise<Stop>,
): Promise<boolean> => {
  if (!standby.waits) return true;
  // Who can be replaced is still at work: the time to find out that the successor could not.
  await loadWorkerConfig(file, process.env);
  readiness.waiting();
  return Promise.race([standby.permission(), signalled.then(() => false)]);
};

/** Runs a worker until a signal or the loss of its engine; settles with the exit code. */
export const runWorker = async (file: string, supervisor: Supervisor): Promise<number> => {
  const { readiness, standby, handOver } = supervisor;
  // Before the start: a signal in the middle of it must not leave half of it behind.
  const signalled = signalledToStop();
  if (!(await mayBegin(file, readiness, standby, signalled))) return 0;
  const worker = await startWorker(file, process.env, handOver.inheritedFds);
  const { logger } = worker;
  handOver.offer(worker);
  logger.info("ready", { url: worker.url, pid: process.pid, slots: worker.config.workerSlots });
  readiness.ready(worker.url);
  const stop = await Promise.race([signalled, engineLost(worker)]);
  if (stop.by === "lost") {
    logger.error("the sandbox engine was lost, ending", { error: stop.reason });
    setTimeout(() => process.exit(1), LOST_DEADLINE_MS).unref();
  } else logger.info("stopping; calls that run may finish", { signal: stop.signal });
  try {
    await worker.close();
  } catch (error) {
    process.stderr.write(`ol-worker: could not stop cleanly: ${messageOf(error)}\n`);
    return 1;
  }
  return stop.by === "signal" ? 0 : 1;
};
