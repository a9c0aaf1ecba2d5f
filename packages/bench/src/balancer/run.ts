import { CleanupStack } from "@ol/common";

import { verifyBaselines } from "../baselines.ts";
import { startBareHttp } from "../bare-http.ts";
import { cpuUsOf } from "../cpu.ts";
import { runLoad } from "../load.ts";
import { describeLoad, describeMachine } from "../machine.ts";
import { atMost, type Results, type Row } from "../results.ts";
import { pairedRatios, summarize } from "../statistics.ts";
import { type BenchProxy, MANY_SLOTS, startBalancer, startHaproxy, startNginx } from "./proxies.ts";

export interface ProxiesOptions {
  readonly rounds: number;
  readonly warmupMs: number;
  readonly durationMs: number;
  readonly connections: number;
  /** Told what begins. */
  readonly progress: (what: string) => void;
}

export const DEFAULT_PROXIES: Omit<ProxiesOptions, "progress"> = {
  rounds: 5,
  warmupMs: 3_000,
  durationMs: 5_000,
  connections: 64,
};

const PATH = "/run/hello";
/** Of nginx's CPU time. */
const MOST_OF_NGINX = 3;
/** From here on the generator was the limit of the throughput. */
const BUSY_GENERATOR = 0.9;
interface Measured {
  readonly cpuUs: number[];
  readonly perSecond: number[];
  readonly p99Us: number[];
  busyGenerator: boolean;
}

const measure = async (
  { port, pid }: BenchProxy,
  into: Measured,
  { warmupMs, durationMs, connections }: ProxiesOptions,
): Promise<void> => {
  const load = { port, path: PATH, connections, warmupMs: 0 };
  await runLoad({ ...load, durationMs: warmupMs });
  const before = await cpuUsOf(pid);
  const result = await runLoad({ ...load, durationMs });
  into.cpuUs.push(((await cpuUsOf(pid)) - before) / result.replies);
  into.perSecond.push(result.requestsPerSecond);
  into.p99Us.push(result.p99Us);
  if (result.cpuShare > BUSY_GENERATOR) into.busyGenerator = true;
};

const rowsOf = (name: string, own: Measured, nginx: Measured): Row[] => {
  const row = (what: string, unit: Row["unit"], values: number[], base: number[]): Row => ({
    name: `${name}: ${what}`,
    unit,
    values: summarize(values),
    ratios: own === nginx ? {} : { nginx: pairedRatios(values, base) },
  });
  return [
    row("CPU a request", "us", own.cpuUs, nginx.cpuUs),
    row("throughput", "1/s", own.perSecond, nginx.perSecond),
    row("p99", "us", own.p99Us, nginx.p99Us),
  ];
};

const startOurs = (upstream: number): Promise<BenchProxy> =>
  startBalancer([{ url: `http://127.0.0.1:${upstream}`, slots: MANY_SLOTS }]);

/** What a proxied request costs in CPU time of the proxy, side by side: a small POST to a server that answers at once. */
export const runProxies = async (options: ProxiesOptions): Promise<Results> => {
  const { rounds, progress } = options;
  const notes = describeLoad();
  await verifyBaselines();
  const cleanup = new CleanupStack();
  try {
    const bare = await startBareHttp();
    cleanup.add(async () => bare[Symbol.asyncDispose]());
    const proxies: BenchProxy[] = [];
    for (const start of [startNginx, startHaproxy, startOurs]) {
      const proxy = await start(bare.port);
      cleanup.add(async () => proxy[Symbol.asyncDispose]());
      proxies.push(proxy);
    }
    const measured = proxies.map((): Measured => ({
      cpuUs: [],
      perSecond: [],
      p99Us: [],
      busyGenerator: false,
    }));
    for (let round = 0; round < rounds; round += 1)
      for (let turn = 0; turn < proxies.length; turn += 1) {
        // Who is first changes with every round.
        const at = (round + turn) % proxies.length;
        progress(`round ${round + 1} of ${rounds}: ${proxies[at]?.name}`);
        await measure(proxies[at] as BenchProxy, measured[at] as Measured, options);
      }
    const [nginx] = measured as [Measured];
    const ours = pairedRatios(measured.at(-1)?.cpuUs ?? [], nginx.cpuUs);
    if (measured.some(({ busyGenerator }) => busyGenerator))
      notes.push(
        "the load generator was itself the limit in some round: the throughput says less than the CPU time",
      );
    return {
      machine: describeMachine("-"),
      rows: proxies.flatMap(({ name }, at) => rowsOf(name, measured[at] as Measured, nginx)),
      aims: [atMost("CPU a request through ol-balancer / nginx", ours.median, MOST_OF_NGINX)],
      notes,
    };
  } finally {
    await cleanup.run();
  }
};
