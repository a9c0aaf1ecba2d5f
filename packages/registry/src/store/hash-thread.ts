// Computes checksums beside the main thread (hash-threads.ts). Each message but `close` is answered with one that has the same
// job, in the order in which they came.
import { parentPort } from "node:worker_threads";

import { type Computed, runningChecksum } from "./checksums.ts";
import type { RunningChecksum } from "./crc.ts";
import type { ThreadRequest } from "./hash-threads.ts";

const jobs = new Map<number, Map<Computed, RunningChecksum>>();

const answer = (request: ThreadRequest): readonly (readonly [Computed, string])[] => {
  if (request.verb === "open") {
    jobs.set(request.job, new Map(request.kinds.map((kind) => [kind, runningChecksum(kind)])));
    return [];
  }
  const running = jobs.get(request.job);
  if (running === undefined) throw new Error(`there is no job ${request.job}`);
  if (request.verb === "update") {
    const data = new Uint8Array(request.block, 0, request.length);
    for (const each of running.values()) each.update(data);
    return [];
  }
  jobs.delete(request.job);
  return request.verb === "digest" ? [...running].map(([kind, each]) => [kind, each.digest()] as const) : [];
};

parentPort?.on("message", (request: ThreadRequest) => {
  const values = answer(request);
  if (request.verb !== "close") parentPort?.postMessage({ job: request.job, values });
});
