import { CleanupStack } from "@ol/common";

import { benchError } from "../errors.ts";
import { makeSite, startWorker } from "../worker.ts";

/** Where a play's calls go. */
export interface PlayTarget extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** With the function's place in the plan. */
  path(at: number): string;
  body(runMs: number): string;
  /** Whether a reply with status 200 is that function's. */
  isRight(at: number, text: string): boolean;
}

const HTTP_PORT = 80;

/** A URL under which lambdas have the names that the trace has. Fails with OL_BENCH_USAGE. */
export const urlTarget = (url: string, functions: readonly string[], body: string): PlayTarget => {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed?.protocol !== "http:")
    throw benchError("OL_BENCH_USAGE", `--url must begin with http://, not ${JSON.stringify(url)}`);
  const { hostname, port, pathname } = parsed;
  const prefix = pathname === "/" ? "/run/" : pathname.replace(/\/?$/u, "/");
  return {
    host: hostname.replace(/^\[(.*)\]$/u, "$1"),
    port: port === "" ? HTTP_PORT : Number(port),
    path: (at) => `${prefix}${encodeURIComponent(functions[at] as string)}`,
    body: () => body,
    isRight: () => true,
    [Symbol.asyncDispose]: async () => undefined,
  };
};

/** What a worker that is started for a play is like. */
export interface OwnWorkerOptions {
  readonly functions: number;
  readonly python: string;
  readonly memoryMb: number;
  /** Keys of its configuration besides. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** The share of its time that a call is busy on the CPU. In the rest it sleeps. */
  readonly busy: number;
}

const nameOf = (at: number): string => `play-${at}`;

/** Takes as long as its caller says, a part of that on the CPU. */
const codeOf = (name: string, busy: number): string => `import time

def f(event):
    seconds = event["ms"] / 1000
    done = time.thread_time() + seconds * ${busy}
    while time.thread_time() < done:
        pass
    time.sleep(seconds * ${1 - busy})
    return "${name}"
`;

/** A worker of its own with a lambda for each function, which takes as long as the function did. */
export const ownWorker = async (options: OwnWorkerOptions): Promise<PlayTarget> => {
  const { functions, python, memoryMb, settings, busy } = options;
  const cleanup = new CleanupStack();
  try {
    const site = await makeSite();
    cleanup.add(async () => site[Symbol.asyncDispose]());
    for (let at = 0; at < functions; at += 1)
      await site.addLambda(nameOf(at), { "f.py": codeOf(nameOf(at), busy) });
    const worker = await startWorker({ site, name: "worker", python, memoryMb, settings });
    cleanup.add(async () => worker[Symbol.asyncDispose]());
    return {
      host: "127.0.0.1",
      port: worker.port,
      path: (at) => `/run/${nameOf(at)}`,
      body: (runMs) => JSON.stringify({ ms: runMs }),
      isRight: (at, text) => text === JSON.stringify(nameOf(at)),
      [Symbol.asyncDispose]: () => cleanup.run(),
    };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
};
