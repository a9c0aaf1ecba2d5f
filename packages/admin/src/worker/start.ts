import { rm } from "node:fs/promises";

import { messageOf } from "@ol/common";
import { readJsonObject, usableMemoryMb, type WorkerTemplate } from "@ol/config";

import type { Context } from "../cli/command.ts";
import type { Cluster } from "../cluster/discover.ts";
import { writeProtected } from "../cluster/protected-file.ts";
import { type Launch, type Successor, launchProcess, prepareWorker } from "../process/launch.ts";
import { removePidFile } from "../process/pid-file.ts";
import { escapeControls } from "../text.ts";
import { hostWork } from "./host-work.ts";
import { type Worker, listWorkers } from "./list.ts";
import { type Start, workerConfigFor } from "./plan.ts";
import { findScope } from "./scope.ts";
import { graceOf, stopWorker } from "./stop.ts";
import { takeOverFrom } from "./take-over.ts";

/** Everything that starting a worker needs to know of its cluster. */
export interface Ground {
  readonly cluster: Cluster;
  readonly template: WorkerTemplate;
  readonly context: Context;
  /** How many workers the machine will have. */
  readonly total: number;
}

/** Writes the worker's configuration, from the template as it is now. */
const configure = ({ cluster, template, total }: Ground, start: Start): Promise<void> => {
  const machine = { memoryMb: usableMemoryMb(), workers: total };
  return writeProtected(cluster.paths.workerConfig(start.index), workerConfigFor(template, start, machine));
};

const launchOf = async ({ cluster, context }: Ground, { index }: Start): Promise<Launch> => {
  const name = `worker-${index}`;
  const scope = await findScope(`ol-${cluster.identity.id}-${name}`, context.environment, context.signal);
  return {
    name,
    failure: "OL_ADMIN_WORKER_FAILED",
    scope: scope.words,
    command: context.workerCommand(),
    configFile: cluster.paths.workerConfig(index),
    outFile: cluster.paths.outFile(index),
    pidFile: cluster.paths.pidFile(index),
    handOverPath: cluster.paths.handOver(index),
    environment: scope.environment,
    signal: context.signal,
  };
};

/** Starts a worker; settles with its URL. If it fails, nothing of it is left. */
export const startOne = async (ground: Ground, start: Start): Promise<string> => {
  const { cluster } = ground;
  const configFile = cluster.paths.workerConfig(start.index);
  const isNew = !listWorkers(cluster.paths).some(
    ({ index, configured }) => index === start.index && configured,
  );
  await configure(ground, start);
  try {
    const { url } = await launchProcess(await launchOf(ground, start));
    return url;
  } catch (error) {
    await cleanUpAfter(ground, configFile, isNew);
    throw error;
  }
};

const cleanUpAfter = async ({ context }: Ground, configFile: string, isNew: boolean): Promise<void> => {
  try {
    // Not with the command's own signal: after ctrl-C, too, nothing must stay.
    await hostWork({ ...context, signal: new AbortController().signal }, "sweep", configFile);
  } catch (error) {
    // The reason why the worker did not start matters more, and is thrown after this one is said.
    context.output.message(
      `leftovers of the worker could not be removed: ${escapeControls(messageOf(error))}`,
    );
  }
  if (isNew) await rm(configFile, { force: true });
};

/**
 * Ends a running worker when its calls are done, and starts it anew on its port; settles with its URL. Its successor's
 * process is there before that, up to the point where it needs what the old one has, and has the listening sockets as well:
 * who connects while an engine is made waits for it. One that cannot start at all costs nothing, since the old one runs on.
 */
export const replaceOne = async (ground: Ground, worker: Worker, port: number): Promise<string> => {
  const { context } = ground;
  const start = { index: worker.index, port };
  // Its calls run by the configuration that it has now.
  const graceMs = await graceOf(worker);
  const successor = await successorOf(ground, worker, start);
  try {
    await stopWorker(worker, context.signal, graceMs);
  } catch (error) {
    await successor.dismiss();
    throw error;
  }
  removePidFile(worker.pidFile);
  try {
    return (await successor.begin()).url;
  } catch (error) {
    await cleanUpAfter(ground, worker.configFile, false);
    throw error;
  }
};

/** If there cannot be one, the configuration is as it was. */
const successorOf = async (ground: Ground, worker: Worker, start: Start): Promise<Successor> => {
  const before = await readJsonObject(worker.configFile);
  await configure(ground, start);
  try {
    const launch = await launchOf(ground, start);
    const takeOver =
      worker.process === undefined
        ? undefined
        : takeOverFrom(worker.process, ground.cluster.paths.handOver(worker.index), launch.environment);
    return await prepareWorker(launch, takeOver);
  } catch (error) {
    await writeProtected(worker.configFile, before);
    throw error;
  }
};
