import type { BenchSite } from "../worker.ts";
import type { ZygoteData } from "../zygotes/data.ts";
import { fitCosts, type Fitted } from "./fit.ts";
import { RealWorker } from "./real.ts";

/** A site with lambdas whose packages are installed, and how long each of their calls waits. */
export interface AloneOptions {
  readonly site: BenchSite;
  readonly python: string;
  readonly names: readonly string[];
  readonly runMs: number;
  readonly sandboxMb: number;
  /** How long lambdas are started one after the other. */
  readonly measureMs: number;
  /** Keys of the worker's configuration besides. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** Does nothing, and needs nothing. */
const HELLO = "hello";
const MOST_HELLO_MS = 2_000;
const WARMUP_MS = 500;
/** As many clients as keep worker and sandboxes busy without waiting for each other. */
const HELLO_CLIENTS = 4;
/** Each call finds that its lambda's sandbox had to go, one sandbox before it. */
const SANDBOXES = 2;

/** What work costs on this machine, as far as calls that are made one after the other tell. */
export const measureAlone = async (
  { site, python, names, runMs, sandboxMb, measureMs, settings }: AloneOptions,
  data: Pick<ZygoteData, "costs">,
): Promise<Fitted> => {
  await site.addLambda(HELLO, { "f.py": `def f(event):\n    return "Hello, ${HELLO}!"\n` });
  await using worker = await RealWorker.start({
    site,
    python,
    slots: HELLO_CLIENTS,
    sandboxMb,
    memoryMb: SANDBOXES * sandboxMb,
    // What is paused may stay longer.
    settings: { ...settings, import_cache: "off", pause_linger_ms: 0 },
  });
  const helloMs = Math.min(MOST_HELLO_MS, measureMs);
  const once = { kind: "closed", clients: 1, draw: { by: "turns", times: 1 } } as const;
  const alone = { calls: once, seed: 1, warmupMs: WARMUP_MS };
  // From its first call on: the trace and the CPU time have to be of the same calls.
  const cold = await worker.play({ ...alone, warmupMs: 0, names, measureMs });
  const warm = await worker.play({ ...alone, names: [HELLO], measureMs: helloMs });
  const calls = { ...once, clients: HELLO_CLIENTS };
  const busy = await worker.play({ ...alone, calls, names: [HELLO], measureMs: helloMs });
  const traced = await worker.stop();
  const ofOne = Math.round((warm.figures.perSec * helloMs) / 1_000);
  return fitCosts(
    {
      cold: traced.filter((call) => call.cold && call.lambda !== HELLO),
      warm: traced.filter((call) => !call.cold && call.lambda === HELLO).slice(0, ofOne),
      waitMs: runMs,
      clientMs: busy.clientMs,
      workerMs: busy.workerMs,
      treeMs: cold.figures.coldShare > 0 ? cold.treeMs / cold.figures.coldShare : undefined,
      heldMb: cold.heldMb,
    },
    data,
  );
};
