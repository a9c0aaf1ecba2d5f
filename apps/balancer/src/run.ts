import { firstSignal, messageOf, type Readiness } from "@ol/common";

import { startBalancer } from "./process.ts";

/** Runs a load balancer until a signal; settles with the exit code. */
export const runBalancer = async (file: string, readiness: Readiness): Promise<number> => {
  // Before the start: a signal in the middle of it must not leave half of it behind.
  const signalled = firstSignal();
  const balancer = await startBalancer(file, process.env);
  const { logger, url } = balancer;
  logger.info("ready", { url, pid: process.pid });
  readiness.ready(url);
  logger.info("stopping; calls that run may finish", { signal: await signalled });
  try {
    await balancer.close();
  } catch (error) {
    process.stderr.write(`ol-balancer: could not stop cleanly: ${messageOf(error)}\n`);
    return 1;
  }
  return 0;
};
