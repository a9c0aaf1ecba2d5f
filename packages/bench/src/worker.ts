import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { CleanupStack } from "@ol/common";

import { benchError } from "./errors.ts";
import { firstLine, startHelper } from "./process.ts";

/** A real worker process over a code directory of its own. */
export interface BenchWorker extends AsyncDisposable {
  readonly port: number;
  /** Adds a lambda that nobody has called yet. */
  addLambda(name: string): Promise<void>;
  /** One call over a kept-alive connection: time to the end of the reply, in ms. */
  call(name: string): Promise<number>;
}

const readyTimeoutMs = 30_000;
const callTimeoutMs = 30_000;

const handler = 'def f(event):\n    return "Hello, %s!" % event.get("name", "World")\n';

/** Finds the worker's program by its package, as ol-admin does. */
const workerProgram = async (): Promise<string> => {
  const manifestPath = createRequire(import.meta.url).resolve("ol-worker/package.json");
  const manifest = JSON.parse(await readFile(manifestPath, "utf8")) as { bin: Record<string, string> };
  return join(dirname(manifestPath), manifest.bin["ol-worker"] ?? "");
};

const callOnce = (agent: Agent, port: number, name: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const body = '{"name":"Alice"}';
    const begunMs = performance.now();
    const outgoing = request(
      {
        agent,
        port,
        host: "127.0.0.1",
        method: "POST",
        path: `/run/${name}`,
        headers: { "content-type": "application/json", "content-length": body.length },
        timeout: callTimeoutMs,
      },
      (incoming) => {
        let text = "";
        incoming.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        incoming.once("end", () => {
          const tookMs = performance.now() - begunMs;
          if (incoming.statusCode === 200 && text.trim() === '"Hello, Alice!"') resolve(tookMs);
          else
            reject(
              benchError("OL_BENCH_WRONG_REPLY", `${name}: ${incoming.statusCode} ${text.slice(0, 500)}`),
            );
        });
      },
    );
    outgoing.once("timeout", () => outgoing.destroy(new Error(`no reply within ${callTimeoutMs} ms`)));
    outgoing.once("error", reject);
    outgoing.end(body);
  });

/** Starts `ol-worker` in the foreground mode that ol-admin uses too, on a free port. */
export const startWorker = async (python: string, memoryMb: number): Promise<BenchWorker> => {
  const cleanup = new CleanupStack();
  try {
    const directory = await mkdtemp(join(tmpdir(), "ol-bench-worker-"));
    cleanup.add(() => rm(directory, { recursive: true, force: true }));
    const registry = join(directory, "registry");
    await mkdir(registry);
    const config = join(directory, "worker.json");
    await writeFile(
      config,
      JSON.stringify({
        worker_dir: join(directory, "worker"),
        worker_port: 0,
        registry: "local",
        registry_dir: registry,
        mem_pool_mb: memoryMb,
      }),
    );
    const helper = startHelper(process.execPath, [await workerProgram(), "--config", config], {
      stdio: ["ignore", "ignore", "pipe", "pipe"],
      // The interpreter of the other measurements comes first, so that all compare the same Python.
      env: { PATH: `${dirname(python)}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`, OL_READY_FD: "3" },
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
      addLambda: async (name) => {
        await mkdir(join(registry, name));
        await writeFile(join(registry, name, "f.py"), handler);
      },
      call: (name) => callOnce(agent, port, name),
      [Symbol.asyncDispose]: () => cleanup.run(),
    };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
};
