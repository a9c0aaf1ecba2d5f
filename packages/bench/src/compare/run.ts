import { setTimeout as sleep } from "node:timers/promises";

import { CleanupStack } from "@ol/common";

import { describeLoad, describeMachine } from "../machine.ts";
import { findPeers } from "../peers/find.ts";
import { makeCleanPython, realPython } from "../python.ts";
import { type Aim, atMost, type Results, type Row, type Skipped } from "../results.ts";
import { single } from "../sandboxes/series.ts";
import { pairedRatios, summarize } from "../statistics.ts";
import type { Progress } from "../command.ts";
import type { SandboxChoice } from "../sandboxes/options.ts";
import { type Contender, engineContenders, type Living, peerContender } from "./contenders.ts";

export interface PeerComparisonOptions extends SandboxChoice {
  /** Of those that `findPeers` knows. */
  readonly peers: readonly string[];
  readonly rounds: number;
  /** Calls of each start once it is warm. */
  readonly calls: number;
  /** How many of each are there at once when memory is measured. */
  readonly living: number;
  readonly progress: Progress;
}

/** The kernel takes the others' namespaces and groups apart after they have ended; nobody should be measured meanwhile. */
const SETTLE_MS = 50;
/** What all others are compared with. */
const BASELINES = ["python3", "sock"];
const MIB_PER_GIB = 1_024;
const MOST_OF_DOCKER = 1 / 50;
const LEAST_DENSITY = 5;

/** What was measured of a contender, in the order of the rounds; in ms. */
class Times {
  readonly created: number[] = [];
  readonly cold: number[] = [];
  readonly warm: number[] = [];
  readonly ended: number[] = [];

  async measure(contender: Contender, calls: number): Promise<void> {
    const askedMs = performance.now();
    const one = await contender.start();
    try {
      const loadedMs = performance.now();
      await one.call();
      this.created.push(loadedMs - askedMs);
      this.cold.push(performance.now() - askedMs);
      this.warm.push(await warmMs(one, calls));
    } catch (error) {
      await one.end();
      throw error;
    }
    const endingMs = performance.now();
    await one.end();
    this.ended.push(performance.now() - endingMs);
  }
}

/** The median of so many calls. */
const warmMs = async (one: Living, calls: number): Promise<number> => {
  const times: number[] = [];
  for (let call = 0; call < calls; call += 1) {
    const calledMs = performance.now();
    await one.call();
    times.push(performance.now() - calledMs);
  }
  return summarize(times).median;
};

const KINDS = [
  { kind: "created", what: "creation, until its code is loaded" },
  { kind: "cold", what: "cold start, until the first reply" },
  { kind: "warm", what: "warm call" },
  { kind: "ended", what: "end, until nothing is left" },
] as const;

/** What one more takes, over so many of them that have answered a call. */
const measurePssMb = async (contender: Contender, count: number): Promise<number> => {
  // Whatever it shares with others is there before: a container that is shared may have ended meanwhile.
  await contender.warmUp();
  const living: Living[] = [];
  const add = async (): Promise<void> => {
    const one = await contender.start();
    living.push(one);
    await one.call();
  };
  try {
    await add();
    const beforeMb = await contender.pssMb(living);
    while (living.length <= count) await add();
    return ((await contender.pssMb(living)) - beforeMb) / count;
  } finally {
    for (const one of living) await one.end();
  }
};

const startAll = async (
  options: PeerComparisonOptions,
  cleanup: CleanupStack,
): Promise<{
  readonly contenders: readonly Contender[];
  readonly machine: Results["machine"];
  readonly skipped: Skipped[];
}> => {
  const { engines, peers, network, living } = options;
  const python = await realPython();
  const clean = await makeCleanPython(python);
  cleanup.add(async () => clean[Symbol.asyncDispose]());
  const others = await findPeers(peers, clean.path);
  cleanup.add(async () => others[Symbol.asyncDispose]());
  const contenders: Contender[] = others.found.map(peerContender);
  for (const engine of engines)
    for (const contender of await engineContenders(engine, python, network, living)) {
      cleanup.add(async () => contender[Symbol.asyncDispose]());
      contenders.push(contender);
    }
  const versions = Object.fromEntries(others.found.map(({ name, version }) => [name, version]));
  return {
    contenders,
    machine: { ...describeMachine(python), ...versions },
    skipped: [...options.skipped, ...others.skipped],
  };
};

const rowsOf = (contenders: readonly Contender[], times: ReadonlyMap<string, Times>): Row[] =>
  KINDS.flatMap(({ kind, what }) =>
    contenders.map(({ name }): Row => {
      const values = times.get(name)?.[kind] ?? [];
      const ratios = BASELINES.filter((base) => base !== name && times.has(base)).map(
        (base) => [base, pairedRatios(values, times.get(base)?.[kind] ?? [])] as const,
      );
      return {
        name: `${what}: ${name}`,
        unit: "ms",
        values: summarize(values),
        ratios: Object.fromEntries(ratios),
        labels: { contender: name, what: kind },
      };
    }),
  );

/** Only where both took part: `sock` as it is by default, with processes that wait, and `docker` as it is by default, without containers that do. */
const aimsOf = (times: ReadonlyMap<string, Times>, pss: ReadonlyMap<string, number>): Aim[] => {
  const [sock, docker] = [times.get("sock, prepared"), times.get("docker")];
  if (sock === undefined || docker === undefined) return [];
  const ratio = pairedRatios(sock.cold, docker.cold).median;
  const density = (pss.get("sock") ?? Number.NaN) / (pss.get("docker") ?? Number.NaN);
  return [
    atMost("cold start: sock, prepared / docker", ratio, MOST_OF_DOCKER),
    atMost("memory: sock / docker", density, 1 / LEAST_DENSITY),
  ];
};

/** How many times as long `docker` takes where both have what waits, and where neither has. */
const alikeOf = (times: ReadonlyMap<string, Times>): string[] =>
  ["", ", prepared"].flatMap((kind) => {
    const [sock, docker] = [times.get(`sock${kind}`), times.get(`docker${kind}`)];
    if (sock === undefined || docker === undefined) return [];
    const ratio = pairedRatios(docker.cold, sock.cold).median;
    return [`cold start: docker${kind} takes ${ratio.toFixed(1)} times as long as sock${kind}`];
  });

/** Runs the same function in every engine and every other way that this machine has, in turns. */
export const runCompare = async (options: PeerComparisonOptions): Promise<Results> => {
  const { rounds, calls, living, progress } = options;
  const notes = describeLoad();
  const cleanup = new CleanupStack();
  try {
    const { contenders, machine, skipped } = await startAll(options, cleanup);
    for (const contender of contenders) await contender.warmUp();
    const times = new Map(contenders.map(({ name }) => [name, new Times()]));
    progress(`${rounds} rounds of ${contenders.length}`);
    for (let round = 0; round < rounds; round += 1)
      for (let turn = 0; turn < contenders.length; turn += 1) {
        // Who is first changes with every round.
        const contender = contenders[(round + turn) % contenders.length] as Contender;
        await times.get(contender.name)?.measure(contender, calls);
        await sleep(SETTLE_MS);
      }
    const pss = new Map<string, number>();
    for (const contender of contenders.filter(({ hasWaiting }) => !hasWaiting)) {
      progress(`memory: ${contender.name}`);
      try {
        pss.set(contender.name, await measurePssMb(contender, living));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EACCES") throw error;
        const reason = "its processes are another user's, whose memory only root may look at";
        skipped.push({ name: `memory of ${contender.name}`, reason });
      }
    }
    const memory = [...pss].flatMap(([name, mb]) => [
      single(`one more that is idle: ${name}`, "MiB", mb, { contender: name, what: "pss" }),
      single(`of these in a GiB: ${name}`, "1/GiB", MIB_PER_GIB / mb, { contender: name, what: "density" }),
    ]);
    return {
      machine,
      skipped,
      rows: [...rowsOf(contenders, times), ...memory],
      aims: aimsOf(times, pss),
      notes: [...notes, ...alikeOf(times)],
    };
  } finally {
    await cleanup.run();
  }
};
