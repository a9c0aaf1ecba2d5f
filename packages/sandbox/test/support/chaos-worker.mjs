// A worker in small: an engine and a pool in a process of their own, told what to do by messages, and killed by
// tests at the worst moments. Uses the built package, so that no loader of a test runner is needed in it.
//
// argv[2] is JSON: `module` (URL of @ol/sandbox), `memoryMb`, `engine` (options of SockEngine). A request is
// {id, verb, ...}; its answer {id, ok} or {id, error: {code, message}}. Ends when its parent does.

const options = JSON.parse(process.argv[2]);
const { SandboxPool, SockEngine } = await import(options.module);

const tell = (message) => process.connected && process.send(message);
const explain = (error) => ({ code: error.code ?? error.name, message: error.message });

const log = [];
const write = (level) => (message, fields) => log.push({ level, message, ...fields });
const logger = { debug: () => undefined, info: write("info"), warn: write("warn"), error: write("error") };

process.on("disconnect", () => process.exit(0));

let engine;
try {
  engine = await SockEngine.create({ ...options.engine, logger });
} catch (error) {
  tell({ event: "failed", error: explain(error) });
  process.disconnect();
  process.exit(1);
}
const pool = SandboxPool.create({ engine, memoryMb: options.memoryMb, createMs: options.createMs ?? 10_000 });

const specOf = ({ handler, network = "none", environment = {}, limits = {}, scratchOnDisk = false }) => ({
  name: handler,
  code: handler,
  network,
  environment,
  scratchOnDisk,
  limits: {
    memoryMb: 50,
    swappiness: 0,
    procs: 10,
    cpuPercent: 100,
    logMb: 1,
    scratchMb: 10,
    ...limits,
  },
});
const callOf = ({ event = null, timeoutMs = 60_000 }) => ({
  invocationId: "01HZY0000000000000000000AA",
  body: Buffer.from(JSON.stringify(event)),
  timeoutMs,
});

const held = new Map();
const tally = {};
const count = (what) => (tally[what] = (tally[what] ?? 0) + 1);

const callIn = async (sandbox, request) => {
  const reply = await sandbox.call(callOf(request));
  if (reply.failure !== undefined) throw new Error(`${reply.failure}: ${reply.body}`);
  return JSON.parse(reply.body.toString());
};

/** One sandbox for a few calls, again and again until told to stop. */
const client = async (request) => {
  while (!request.stopped) {
    try {
      const sandbox = await pool.acquire(specOf(request));
      try {
        for (let call = 0; call < 3; call += 1) count(`reply ${await callIn(sandbox, request)}`);
      } finally {
        await sandbox.destroy();
      }
    } catch (error) {
      count(error.code ?? error.message);
      // Nothing but errors, and at once, must not become a busy loop.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
};

/** Callers that give up at a random moment of the making. */
const abortCreate = async (request) => {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), request.afterMs);
  try {
    const sandbox = await pool.acquire(specOf(request), { signal: stop.signal });
    await sandbox.destroy();
    return "made";
  } catch (error) {
    return error.code;
  } finally {
    clearTimeout(timer);
  }
};

let load;
const verbs = {
  call: async (request) => {
    const sandbox = await pool.acquire(specOf(request), { deadlineMs: request.deadlineMs ?? 10_000 });
    try {
      return await callIn(sandbox, request);
    } finally {
      await sandbox.destroy();
    }
  },
  /** Makes a sandbox that stays; returns its id. */
  hold: async (request) => {
    const sandbox = await pool.acquire(specOf(request));
    held.set(sandbox.id, sandbox);
    if (request.ready) await sandbox.ready;
    return sandbox.id;
  },
  callHeld: (request) => callIn(held.get(request.sandbox), request),
  /** Ends it; says what became of the directories that were to be kept. */
  keepHeld: async (request) => {
    const outcomes = await held.get(request.sandbox).keep(request.orders);
    held.delete(request.sandbox);
    return outcomes;
  },
  /** True if it is paused now. */
  pauseHeld: (request) => held.get(request.sandbox).pause(),
  destroyHeld: async (request) => {
    await held.get(request.sandbox).destroy();
    held.delete(request.sandbox);
    return null;
  },
  abortCreate,
  load: async (request) => {
    load = { ...request, stopped: false };
    load.clients = Promise.all(Array.from({ length: request.clients }, () => client(load)));
    return null;
  },
  stopLoad: async () => {
    load.stopped = true;
    await load.clients;
    return null;
  },
  cycles: async (request) => {
    let left = request.count;
    const one = async () => {
      while (left > 0) {
        left -= 1;
        await verbs.call(request);
      }
    };
    await Promise.all(Array.from({ length: request.clients ?? 1 }, one));
    return null;
  },
  stats: async () => ({
    tally,
    pool: pool.stats(),
    enforcement: engine.enforcement,
    swept: engine.swept,
    log,
  }),
  /** Memory that is in use: heap and buffers. */
  heapKb: async () => {
    globalThis.gc();
    const { heapUsed, external } = process.memoryUsage();
    return Math.round((heapUsed + external) / 1024);
  },
  close: async () => {
    await pool.close();
    await engine.close();
    return null;
  },
};

const answer = async (request) => {
  try {
    tell({ id: request.id, ok: await verbs[request.verb](request) });
  } catch (error) {
    tell({ id: request.id, error: explain(error) });
  }
};

process.on("message", (request) => void answer(request));
void engine.lost.then((reason) => tell({ event: "lost", reason }));
tell({ event: "ready", brokerPid: engine.brokerPid });
