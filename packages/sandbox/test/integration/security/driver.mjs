// Plain JavaScript, because it runs in two ways: in the test's own process on the sources, and under another user's
// id in a child process, which has neither TypeScript nor the right to read the working copy (see child.mjs).

const LIMITS = { memoryMb: 64, swappiness: 0, procs: 10, cpuPercent: 200, logMb: 1, scratchMb: 4 };
// As test/support/scale.ts, which is not to be had here.
const SLOWNESS = Number(process.env["OL_TEST_SLOWNESS"] ?? "1");
const CALL_TIMEOUT_MS = 30_000 * SLOWNESS;
const WAIT_MS = 10_000 * SLOWNESS;
const TIMERS = {
  helloMs: WAIT_MS,
  partialFrameMs: 2_000 * SLOWNESS,
  writeStallMs: 2_000 * SLOWNESS,
  resetMs: 1_000 * SLOWNESS,
};
const POOL_MB = 4096;

const failure = (error) => ({
  error: {
    code: error.code ?? "?",
    message: String(error.message),
    ...(error.details?.unfit && { unfit: error.details.unfit }),
  },
});

/** Engines and sandboxes by number, behind methods whose arguments and results are JSON. */
export const createDriver = ({ SockEngine, SandboxPool }) => {
  const engines = new Map();
  const sandboxes = new Map();
  let last = 0;

  const methods = {
    async openEngine(options) {
      const engine = await SockEngine.create({ prepared: 0, networks: [], ...options });
      const waits = { createMs: WAIT_MS, resumeMs: WAIT_MS, timers: TIMERS };
      const pool = SandboxPool.create({ engine, memoryMb: POOL_MB, ...waits });
      const number = ++last;
      engines.set(number, { engine, pool, zygotes: new Map() });
      return {
        engine: number,
        enforcement: engine.enforcement,
        brokerPid: engine.brokerPid,
        workerPid: process.pid,
      };
    },

    async acquire({ engine, name, network, limits, environment, code, zygote, packages }) {
      const { pool } = engines.get(engine);
      const spec = {
        name: name ?? "probes",
        code: code ?? "probes",
        ...(zygote !== undefined && { zygote }),
        ...(packages !== undefined && { packages }),
        network,
        environment: environment ?? {},
        limits: { ...LIMITS, ...limits },
      };
      const sandbox = await pool.acquire(spec, { deadlineMs: WAIT_MS });
      await sandbox.ready;
      const number = ++last;
      sandboxes.set(number, sandbox);
      return { sandbox: number, id: sandbox.id };
    },

    /** `{import}` or, if it could not be made, `{error}` with why. */
    async createZygote({ engine, id, limits, ...spec }) {
      const { pool, zygotes } = engines.get(engine);
      try {
        const zygote = await pool.createZygote(id, { ...spec, limits: { ...LIMITS, ...limits } });
        zygotes.set(id, zygote);
        return { import: zygote.import };
      } catch (error) {
        return failure(error);
      }
    },

    /** How it ended, once it has. */
    async zygoteExit({ engine, id }) {
      return { exit: await engines.get(engine).zygotes.get(id).exited };
    },

    async killZygote({ engine, id }) {
      await engines.get(engine).zygotes.get(id).kill();
      return {};
    },

    async stats({ engine }) {
      return engines.get(engine).engine.stats();
    },

    /** `{reply}` or, if the sandbox ended meanwhile, `{error}` with how. */
    async call({ sandbox, event }) {
      const found = sandboxes.get(sandbox);
      const body = Buffer.from(JSON.stringify(event));
      try {
        const reply = await found.call({ invocationId: "probe", body, timeoutMs: CALL_TIMEOUT_MS });
        if (reply.failure !== undefined) return failure(new Error(reply.body.toString()));
        return { reply: JSON.parse(reply.body.toString()) };
      } catch (error) {
        return failure(error);
      }
    },

    async pause({ sandbox }) {
      return { paused: await sandboxes.get(sandbox).pause() };
    },

    async resume({ sandbox }) {
      await sandboxes.get(sandbox).resume();
      return {};
    },

    async memoryBytes({ sandbox }) {
      return { bytes: await sandboxes.get(sandbox).memoryBytes() };
    },

    /** How it ended by itself. */
    async exited({ sandbox }) {
      return { exit: await sandboxes.get(sandbox).exited };
    },

    async destroy({ sandbox }) {
      const found = sandboxes.get(sandbox);
      sandboxes.delete(sandbox);
      await found.destroy();
      return { exit: await found.exited };
    },

    async closeEngine({ engine }) {
      const { engine: made, pool } = engines.get(engine);
      engines.delete(engine);
      await pool.close();
      await made.close();
      return {};
    },

    async close() {
      for (const number of engines.keys()) await methods.closeEngine({ engine: number });
      return {};
    },
  };

  return { request: async (method, parameters) => methods[method](parameters) };
};
