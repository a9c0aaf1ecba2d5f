import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

import type { ClusterPaths } from "../cluster/paths.ts";
import { adminError, errnoOf } from "../errors.ts";

const STREAMS = ["stdout", "stderr"] as const;

/** One output file of one sandbox of a lambda. */
export interface LogSource {
  /** Sandbox and stream: the same for the live file and for what is kept after the sandbox's end. */
  readonly key: string;
  readonly sandbox: string;
  readonly stream: (typeof STREAMS)[number];
  readonly path: string;
  /** When it was last written, ms since 1970. */
  readonly modifiedMs: number;
}

/** What is there at one moment, and the directories in which more may appear. */
export interface LogScan {
  readonly sources: readonly LogSource[];
  readonly directories: readonly string[];
}

/** The names in a directory; none if it does not exist (any more). */
const namesIn = (directory: string): string[] => {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() || entry.isFile())
      .map(({ name }) => name);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return [];
    const why =
      errnoOf(error) === "EACCES"
        ? "permission denied; run ol-admin as the user who started the worker"
        : errnoOf(error);
    throw adminError("OL_ADMIN_FILE", `cannot read ${directory}: ${why ?? "unknown reason"}`, {
      cause: error,
    });
  }
};

const modifiedMs = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

const live = (directory: string): LogSource[] =>
  namesIn(directory).flatMap((sandbox) =>
    STREAMS.map((stream) => {
      const path = join(directory, sandbox, stream);
      return {
        key: `${sandbox}.${stream}`,
        sandbox,
        stream,
        path,
        modifiedMs: modifiedMs(join(directory, sandbox)),
      };
    }),
  );

const kept = (directory: string): LogSource[] =>
  namesIn(directory).flatMap((file) => {
    const stream = STREAMS.find((one) => file.endsWith(`.${one}`));
    if (stream === undefined) return [];
    const path = join(directory, file);
    return [
      { key: file, sandbox: file.slice(0, -stream.length - 1), stream, path, modifiedMs: modifiedMs(path) },
    ];
  });

/** Finds every output file of a lambda, the oldest first: of living sandboxes, and what was kept of ended ones. */
export const scanLogs = (paths: ClusterPaths, lambda: string): LogScan => {
  const keptIn = join(paths.lambdaLogs, lambda);
  const handlers = namesIn(paths.workers).map((worker) => join(paths.workers, worker, "handlers"));
  const scratch = handlers.map((directory) => join(directory, lambda));
  // Living ones first: while a sandbox ends both are there, and the living one is being read already.
  const byKey = new Map<string, LogSource>();
  for (const source of [...scratch.flatMap(live), ...kept(keptIn)])
    if (!byKey.has(source.key)) byKey.set(source.key, source);
  const sandboxes = scratch.flatMap((directory) => namesIn(directory).map((name) => join(directory, name)));
  return {
    sources: [...byKey.values()].sort((a, b) => a.modifiedMs - b.modifiedMs || (a.key < b.key ? -1 : 1)),
    directories: [
      paths.lambdaLogs,
      keptIn,
      paths.workers,
      ...handlers.map((one) => join(one, "..")),
      ...handlers,
      ...scratch,
      ...sandboxes,
    ],
  };
};
