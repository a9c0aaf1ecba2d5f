import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Server, type Socket as TcpSocket } from "node:net";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { agentClient } from "../../../packages/worker/test/http/clients.ts";
import { startWorkerProcess, type WorkerProcess } from "../../../packages/worker/test/http/worker-process.ts";

import { type CodeHome, localCode } from "./code-home.ts";

type Config = Readonly<Record<string, unknown>>;

/** How the suite is run. */
export interface AcceptanceOptions {
  /** Memory, in MiB, that a sandbox may have besides its own because it is not told apart from somebody else's. Default: none. */
  readonly commonMb?: number;
  /** Over the suite's own; asked for before the worker is started. */
  readonly config?: () => Promise<Config>;
  /** Where code comes from; default: the worker's own directory. */
  readonly code?: CodeHome;
  /** Numbers of lambdas that are called at once, and how many MB each has. */
  readonly many: readonly (readonly [count: number, megabytes: number])[];
  /** Clients that load one lambda at the same time, and for how long, in ms. */
  readonly loads: readonly number[];
  readonly loadMs: number;
  /** How long after the cache time new code may come: as long as it takes to make a sandbox. */
  readonly updateMs: number;
  /** Whose mounts are not looked at: those below it. */
  readonly mountsBelow?: () => Promise<string>;
}

const MEMORY_MB = 50;
const PROCESSES = 10;
const CACHE_MS = 1_000;
const POOL_MB = 1_500;

const FORK_BOMB = `import os

def f(event):
    """Every process forks one more and waits for it, until there are no more to be had; the last says how many there are."""
    near, far = os.pipe()
    count = 1
    while True:
        try:
            child = os.fork()
        except OSError:
            os.write(far, str(count).encode())
            break
        if child:
            os.waitpid(child, 0)
            break
        count += 1
    if count > 1:
        os._exit(0)
    return int(os.read(near, 16))
`;

/** Tells each megabyte that it holds, until it is ended. */
const ALLOCATE = `import socket

def f(event):
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    held = []
    while True:
        held.append(b"x" * (1 << 20))
        line.sendto(str(len(held)).encode(), ("127.0.0.1", event["port"]))
`;

const OWN_NUMBER = (number: number, megabytes: number): string =>
  `data = b"x" * (${megabytes} << 20)\n\ndef f(event):\n    return [${number}, len(data)]\n`;

const SECCOMP = `import ctypes

def f(event):
    with open("/proc/self/status") as file:
        mode = [line.split()[1] for line in file if line.startswith("Seccomp:")]
    return [mode, ctypes.CDLL(None).klogctl(10, None, 0)]
`;

const PYCHAT = `import json, socket

def f(event):
    with socket.create_connection(("127.0.0.1", event["port"])) as store:
        store.sendall(json.dumps(event).encode() + b"\\n")
        return json.loads(store.makefile().readline())
`;

/** OpenLambda's own acceptance tests, as far as they need no package from an index: what their users rely on. */
export const describeAcceptance = (engine: string, options: AcceptanceOptions): void => {
  let worker: WorkerProcess;
  const client = agentClient();

  const home = options.code ?? localCode;
  const write = (name: string, code: string, yaml?: string): Promise<void> =>
    home.put(worker, name, { ...(yaml !== undefined && { "ol.yaml": yaml }), "lambda_func.py": code });

  const call = (name: string, event: unknown = {}) =>
    client.send(worker.port, { method: "POST", path: `/runLambda/${name}`, body: JSON.stringify(event) });

  const result = async (name: string, event: unknown = {}): Promise<unknown> => {
    const { status, body } = await call(name, event);
    expect({ status, text: status === 200 ? "" : body.toString() }).toEqual({ status: 200, text: "" });
    return JSON.parse(body.toString()) as unknown;
  };

  const mounts = (ignored: string): number =>
    readFileSync(`/proc/${worker.pid}/mountinfo`, "utf8")
      .split("\n")
      .filter((line) => !line.includes(ignored)).length;

  beforeAll(async () => {
    worker = await startWorkerProcess({
      network: "host",
      registry_cache_ms: CACHE_MS,
      mem_pool_mb: POOL_MB,
      limits: { mem_mb: MEMORY_MB, procs: PROCESSES },
      ...(await home.config()),
      ...(await options.config?.()),
    });
  });

  afterAll(async () => {
    await client.close();
    await worker.close();
  });

  describe(`with the engine ${engine}, as OpenLambda's users know it`, () => {
    it("ping: a thousand times ready", async () => {
      const replies = await Promise.all(
        Array.from({ length: 1_000 }, () => client.send(worker.port, { method: "GET", path: "/status" })),
      );
      expect(new Set(replies.map(({ status, body }) => `${status} ${body.toString()}`))).toEqual(
        new Set(["200 ready"]),
      );
    });

    it("fork bomb: at most as many processes as limits.procs says", async () => {
      await write("bomb", FORK_BOMB);
      const count = Number(await result("bomb"));
      expect(count).toBeGreaterThanOrEqual(1);
      expect(count).toBeLessThanOrEqual(PROCESSES);
    });

    it("memory: all of the limit can be had, and no more", async () => {
      await write("allocate", ALLOCATE);
      const collector: Socket = createSocket("udp4").bind(0, "127.0.0.1");
      await once(collector, "listening");
      let most = 0;
      collector.on("message", (data) => (most = Math.max(most, Number(data.toString()))));
      const { status, body } = await call("allocate", { port: collector.address().port });
      expect({ status, text: body.toString() }).toMatchObject({
        status: 502,
        text: expect.stringMatching(/memory/u) as string,
      });
      await expect.poll(() => most, { timeout: 5_000 }).toBeGreaterThanOrEqual(MEMORY_MB - 16);
      expect(most).toBeLessThanOrEqual(MEMORY_MB + (options.commonMb ?? 0));
      collector.close();
      expect((await call("allocate", {})).status).toBe(500);
    });

    it("methods: those in triggers.http, and 405 for others", async () => {
      await write(
        "methods",
        "def f(event):\n    return 1\n",
        "triggers:\n  http:\n    - method: GET\n    - method: POST\n",
      );
      const statuses = await Promise.all(
        ["GET", "POST", "PUT"].map(async (method) => {
          const { status } = await client.send(worker.port, { method, path: "/run/methods" });
          return status;
        }),
      );
      expect(statuses).toEqual([200, 200, 405]);
    });

    it("environment: values of ol.yaml, spaces and all", async () => {
      const yaml = 'environment:\n  MY_ENV_VAR: "some value  with spaces"\n  OTHER: plain text\n';
      await write(
        "environment",
        'import os\n\ndef f(event):\n    return [os.environ["MY_ENV_VAR"], os.environ["OTHER"]]\n',
        yaml,
      );
      expect(await result("environment")).toEqual(["some value  with spaces", "plain text"]);
    });

    let updates = 0;
    // A machine that stands still makes any code late.
    it(
      "code update: seen within the cache time and a second, and never an older one again",
      { retry: 2 },
      async () => {
        updates += 1;
        const name = `update-${updates}`;
        await write(name, "def f(event):\n    return 0\n");
        expect(await result(name)).toBe(0);
        for (const version of [1, 2, 3]) {
          await write(name, `def f(event):\n    return ${version}\n`);
          const endMs = performance.now() + CACHE_MS + options.updateMs;
          const seen: unknown[] = [];
          while (performance.now() < endMs) {
            seen.push(await result(name));
            await new Promise((resolve) => setTimeout(resolve, 20));
          }
          expect(seen.at(-1)).toBe(version);
          expect(new Set(seen.slice(seen.indexOf(version)))).toEqual(new Set([version]));
        }
      },
    );

    it.each(options.loads)(
      "one lambda under load: %i clients, each with its own replies",
      async (clients) => {
        await write("echo", "def f(event):\n    return event\n");
        const endMs = performance.now() + options.loadMs;
        const counts = await Promise.all(
          Array.from({ length: clients }, async (_, id) => {
            let count = 0;
            for (; performance.now() < endMs; count += 1)
              expect(await result("echo", [id, count])).toEqual([id, count]);
            return count;
          }),
        );
        expect(Math.min(...counts)).toBeGreaterThan(0);
      },
    );

    it.each(options.many)(
      "many lambdas: %i of %i MB, each with its own number, within the memory",
      async (count, megabytes) => {
        const name = (at: number): string => `many-${megabytes}-${at}`;
        for (let at = 0; at < count; at += 1) await write(name(at), OWN_NUMBER(at, megabytes));
        const numbers = Array.from({ length: count }, (_, at) => at);
        for (let round = 0; round < 2; round += 1) {
          const results = await Promise.all(numbers.map((at) => result(name(at))));
          expect(results).toEqual(numbers.map((at) => [at, megabytes << 20]));
          const stats = await client.send(worker.port, { method: "GET", path: "/stats" });
          const { pool } = JSON.parse(stats.body.toString()) as { pool: { promisedMb: number } };
          expect(pool.promisedMb).toBeLessThanOrEqual(POOL_MB);
        }
      },
    );

    it("seccomp: the filter is in force, and syslog is refused", async () => {
      await write("seccomp", SECCOMP);
      expect(await result("seccomp")).toEqual([["2"], -1]);
    });

    // Daemons of other tests mount and unmount beside it.
    it("mounts: as many afterwards as before", { retry: 2 }, async () => {
      const ignored = (await options.mountsBelow?.()) ?? "nothing is ignored";
      const before = mounts(ignored);
      await Promise.all(Array.from({ length: 20 }, (_, at) => result("echo", at)));
      expect(mounts(ignored)).toBe(before);
    });
  });

  describe(`pychat with the engine ${engine}`, () => {
    let store: Server;
    let port: number;

    beforeAll(async () => {
      const messages: { readonly ts: number; readonly msg: string }[] = [];
      let exists = false;
      const answer = (request: { op: string; ts?: number; msg?: string }): unknown => {
        if (request.op === "init") exists = true;
        else if (request.op === "msg" && exists)
          messages.push({ ts: messages.length + 1, msg: request.msg ?? "" });
        else if (request.op === "updates") return messages.filter(({ ts }) => ts > (request.ts ?? 0));
        return exists ? messages.length : "no chat";
      };
      const serve = async (socket: TcpSocket): Promise<void> => {
        const [data] = (await once(socket, "data")) as [Buffer];
        const request = JSON.parse(data.toString()) as { op: string; ts?: number };
        const endMs = performance.now() + 20_000;
        let reply = answer(request);
        while (request.op === "updates" && (reply as unknown[]).length === 0 && performance.now() < endMs) {
          await new Promise((resolve) => setTimeout(resolve, 10));
          reply = answer(request);
        }
        socket.end(`${JSON.stringify(reply)}\n`);
      };
      store = createServer((socket) => void serve(socket)).listen(0, "127.0.0.1");
      await once(store, "listening");
      port = (store.address() as { port: number }).port;
      await write("pychat", PYCHAT);
    });

    afterAll(() => void store.close());

    it("init makes the chat, msg stores, updates returns what is newer, and waits for it", async () => {
      expect(await result("pychat", { port, op: "msg", msg: "too early" })).toBe("no chat");
      expect(await result("pychat", { port, op: "init" })).toBe(0);
      expect(await result("pychat", { port, op: "msg", msg: "hello" })).toBe(1);
      expect(await result("pychat", { port, op: "updates", ts: 0 })).toEqual([{ ts: 1, msg: "hello" }]);
      const later = result("pychat", { port, op: "updates", ts: 1 });
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(await result("pychat", { port, op: "msg", msg: "again" })).toBe(2);
      expect(await later).toEqual([{ ts: 2, msg: "again" }]);
    });
  });
};
