import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { Agent, request, type RequestOptions } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { CleanupStack } from "@ol/common";

import { benchError } from "./errors.ts";
import { firstLine, startHelper } from "./process.ts";

/** Where workers find lambdas and packages; several may share one. */
export interface BenchSite extends AsyncDisposable {
  readonly directory: string;
  /** Adds a lambda that nobody has called yet; `files` by their names. */
  addLambda(name: string, files?: Readonly<Record<string, string>>): Promise<void>;
}

/** A real worker process. */
export interface BenchWorker extends AsyncDisposable {
  readonly port: number;
  readonly pid: number;
  /** One call over a kept-alive connection: time to the end of the reply, in ms. */
  call(name: string, timeoutMs?: number): Promise<number>;
  /** What `/stats` shows. */
  stats(): Promise<unknown>;
}

export interface BenchWorkerOptions {
  readonly site: BenchSite;
  /** Differs from those of other workers of the site. */
  readonly name: string;
  readonly python: string;
  readonly memoryMb: number;
  /** Keys of the worker's configuration besides. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** What Node is told before the program. */
  readonly nodeArgs?: readonly string[];
}

const readyTimeoutMs = 30_000;
const callTimeoutMs = 30_000;

/** What every lambda that is called here answers. */
const hello = 'def f(event):\n    return "Hello, %s!" % event.get("name", "World")\n';

/** The code of a lambda that has imported something before it answers. */
export const helloWith = (imports: readonly string[]): string => [...imports, hello].join("\n");

/** Makes a registry and a place for packages. `kept` is used again by whoever names it next, with all that is there. */
export const makeSite = async (kept?: string): Promise<BenchSite> => {
  const directory = kept ?? (await mkdtemp(join(tmpdir(), "ol-bench-site-")));
  const registry = join(directory, "registry");
  await mkdir(registry, { recursive: true });
  return {
    directory,
    addLambda: async (name, files = { "f.py": hello }) => {
      await mkdir(join(registry, name), { recursive: true });
      for (const [file, content] of Object.entries(files))
        await writeFile(join(registry, name, file), content);
    },
    [Symbol.asyncDispose]: async () => {
      if (kept === undefined) await rm(directory, { recursive: true, force: true });
    },
  };
};

/** Finds the worker's program by its package, as ol-admin does. */
const workerProgram = async (): Promise<string> => {
  const manifestPath = createRequire(import.meta.url).resolve("ol-worker/package.json");
  const manifest = JSON.parse(await readFile(manifestPath, "utf8")) as { bin: Record<string, string> };
  return join(dirname(manifestPath), manifest.bin["ol-worker"] ?? "");
};

const exchange = (
  options: RequestOptions,
  body: string,
  timeoutMs: number,
): Promise<{ status: number | undefined; text: string }> =>
  new Promise((resolve, reject) => {
    const outgoing = request(
      {
        ...options,
        host: "127.0.0.1",
        headers: { "content-type": "application/json", "content-length": body.length },
        timeout: timeoutMs,
      },
      (incoming) => {
        let text = "";
        incoming.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        incoming.once("end", () => resolve({ status: incoming.statusCode, text }));
      },
    );
    outgoing.once("timeout", () => outgoing.destroy(new Error(`no reply within ${timeoutMs} ms`)));
    // A connection that breaks may tell so twice.
    outgoing.on("error", reject);
    outgoing.end(body);
  });

const callOnce = async (agent: Agent, port: number, name: string, timeoutMs: number): Promise<number> => {
  const begunMs = performance.now();
  const target = { agent, port, method: "POST", path: `/run/${name}` };
  const { status, text } = await exchange(target, '{"name":"Alice"}', timeoutMs);
  const tookMs = performance.now() - begunMs;
  if (status === 200 && text.trim() === '"Hello, Alice!"') return tookMs;
  throw benchError("OL_BENCH_WRONG_REPLY", `${name}: ${status} ${text.slice(0, 500)}`);
};

const statsOf = async (agent: Agent, port: number): Promise<unknown> => {
  const { text } = await exchange({ agent, port, method: "GET", path: "/stats" }, "", callTimeoutMs);
  return JSON.parse(text) as unknown;
};

/**
 * A worker's environment: with how packages are had, as whoever runs the benchmark has set that up. The interpreter of the
 * other measurements comes first, so that all compare the same Python.
 */
const environmentFor = (python: string): Record<string, string | undefined> => ({
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("OL_"))),
  PATH: `${dirname(python)}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
  OL_READY_FD: "3",
});

/** Starts `ol-worker` in the foreground mode that ol-admin uses too, on a free port. */
export const startWorker = async (options: BenchWorkerOptions): Promise<BenchWorker> => {
  const { site, name, python, memoryMb, settings, nodeArgs = [] } = options;
  const cleanup = new CleanupStack();
  try {
    const config = join(site.directory, `${name}.json`);
    await writeFile(
      config,
      JSON.stringify({
        worker_dir: join(site.directory, name),
        worker_port: 0,
        registry: "local",
        registry_dir: join(site.directory, "registry"),
        pkgs_dir: join(site.directory, "packages"),
        mem_pool_mb: memoryMb,
        log_output: join(site.directory, `${name}.log`),
        ...settings,
      }),
    );
    const command = [...nodeArgs, await workerProgram(), "--config", config];
    const helper = startHelper(process.execPath, command, {
      stdio: ["ignore", "ignore", "pipe", "pipe"],
      env: environmentFor(python),
    });
    cleanup.add(helper.stop);
    const ready = helper.child.stdio[3] as NodeJS.ReadableStream;
    const line = await firstLine(helper, ready, "the worker", readyTimeoutMs);
    if (!line.startsWith("ready ")) throw benchError("OL_BENCH_HELPER_FAILED", `the worker says: ${line}`);
    const port = Number(new URL(line.slice("ready ".length)).port);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    cleanup.add(() => agent.destroy());
    return {
      port,
      pid: helper.child.pid ?? 0,
      call: (lambda, timeoutMs = callTimeoutMs) => callOnce(agent, port, lambda, timeoutMs),
      stats: () => statsOf(agent, port),
      [Symbol.asyncDispose]: () => cleanup.run(),
    };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
};
