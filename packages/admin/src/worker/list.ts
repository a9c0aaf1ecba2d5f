import { readdirSync } from "node:fs";

import type { ClusterPaths } from "../cluster/paths.ts";
import { type ProcessIdentity, isAlive } from "../process/identity.ts";
import { readPidFile } from "../process/pid-file.ts";

/** `running`: its process lives. `dead`: it was started, not stopped, and is gone. `stopped`: it is only configured. */
export type WorkerState = "running" | "dead" | "stopped";

/** A worker of a cluster, as its files tell. */
export interface Worker {
  readonly index: number;
  readonly name: string;
  readonly state: WorkerState;
  readonly configFile: string;
  readonly pidFile: string;
  /** Whether `configFile` exists. */
  readonly configured: boolean;
  /** What the pid file says; the process lives only if the state is `running`. */
  readonly process: ProcessIdentity | undefined;
}

const indexesIn = (directory: string, pattern: RegExp): number[] =>
  readdirSync(directory).flatMap((name) => {
    const index = pattern.exec(name)?.groups?.["index"];
    return index === undefined ? [] : [Number(index)];
  });

/** What the content of a pid file means. */
export const stateOf = (recorded: ProcessIdentity | "unreadable" | undefined): WorkerState => {
  if (recorded === undefined) return "stopped";
  return recorded !== "unreadable" && isAlive(recorded) ? "running" : "dead";
};

/** Every worker that the cluster has a configuration or a pid file of, by index. */
export const listWorkers = (paths: ClusterPaths): readonly Worker[] => {
  const configured = new Set(indexesIn(paths.config, /^worker-(?<index>\d{1,5})\.json$/u));
  const indexes = new Set([...configured, ...indexesIn(paths.logs, /^worker-(?<index>\d{1,5})\.pid$/u)]);
  return [...indexes]
    .sort((a, b) => a - b)
    .map((index) => {
      const recorded = readPidFile(paths.pidFile(index));
      return {
        index,
        name: `worker-${index}`,
        state: stateOf(recorded),
        configFile: paths.workerConfig(index),
        pidFile: paths.pidFile(index),
        configured: configured.has(index),
        process: recorded === "unreadable" ? undefined : recorded,
      };
    });
};
