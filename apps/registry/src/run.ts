import { firstSignal, messageOf, type Readiness } from "@ol/common";

import { startRegistry } from "./process.ts";

/** Runs a registry until a signal; settles with the exit code. */
export const runRegistry = async (file: string, readiness: Readiness): Promise<number> => {
  // Before the start: a signal in the middle of it must not leave half of it behind.
  const signalled = firstSignal();
  const registry = await startRegistry(file, process.env);
  const { logger, url } = registry;
  logger.info("ready", { url, pid: process.pid });
  readiness.ready(url);
  logger.info("stopping; requests that run may finish", { signal: await signalled });
  try {
    await registry.close();
  } catch (error) {
    process.stderr.write(`ol-registry: could not stop cleanly: ${messageOf(error)}\n`);
    return 1;
  }
  return 0;
};
