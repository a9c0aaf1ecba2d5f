import { parentPort } from "node:worker_threads";

import { messageOf } from "@ol/common";

import { simulateWorkers } from "./virtual-run.ts";
import type { SweepAnswer, SweepJob } from "./sweep.ts";

const answerTo = async ({ at, options }: SweepJob): Promise<SweepAnswer> => {
  try {
    return { at, result: await simulateWorkers(options) };
  } catch (error) {
    return { at, failed: messageOf(error) };
  }
};

parentPort?.on("message", (job: SweepJob) => {
  void answerTo(job).then((answer) => parentPort?.postMessage(answer, []));
});
