import type { Seeded } from "../rendezvous.ts";

/** A worker as policies see it: read-only, and of this very moment. */
export interface WorkerView extends Seeded {
  readonly id: string;
  /** Calls it is to run at once: fewer than it can while it warms up. At least 1. */
  readonly slots: number;
  /** Calls that run or wait there, as far as is known. */
  readonly load: number;
  /** Whether it takes one more. */
  readonly hasRoom: boolean;
  /** Whether the function has a sandbox there. */
  isWarm(name: string): boolean;
  /** Whether a zygote there has all packages of the set with this key. */
  hasZygote(key: string): boolean;
}

/** What workers have reported of a function. */
export interface FunctionFacts {
  /** Its packages', see packageKey in @ol/common; undefined if it has none. */
  readonly key: string | undefined;
  /** How long a call of it may run. */
  readonly limitMs: number;
  /** How long a call runs, with a sandbox there. */
  readonly runMs: number | undefined;
  /** How long its sandboxes take to start, imports included. */
  readonly startMs: number | undefined;
}

/** The call that is to be placed. */
export interface CallView {
  readonly name: string;
  /** What calls with the same code or packages have in common: the key of its packages, else its name. */
  readonly key: string;
  /** Undefined while no worker has reported it. */
  readonly facts: FunctionFacts | undefined;
  /** Ids of workers that it was sent to already. */
  readonly tried: ReadonlySet<string>;
}

/** When a worker has little to do, and when too much; in calls for each of its slots. */
export interface Thresholds {
  readonly low: number;
  readonly high: number;
}

/** The workers, and what else a decision may depend on. */
export interface Cluster {
  /** Those that may get calls at all, some without room. The same array as long as they are the same. */
  readonly workers: readonly WorkerView[];
  readonly thresholds: Thresholds;
  readonly nowMs: number;
}

/**
 * Which worker a call goes to. Without memory but for `State`, which it is given each time; with no clock, no chance, no
 * network: the simulator runs the same code in virtual time.
 */
export interface Policy<State> {
  /** As in the configuration. */
  readonly name: string;
  /** One sentence for the reference. */
  readonly about: string;
  /** Whether calls are told apart by what they are: then the thresholds mean something. */
  readonly byKey: boolean;
  initial(): State;
  /** One of the workers that may take the call (`mayTake`); undefined if there is none. */
  choose(call: CallView, cluster: Cluster, state: State): WorkerView | undefined;
}

/** Whether the worker has room for it and has not had it already. */
export const mayTake = (worker: WorkerView, { tried }: CallView): boolean =>
  worker.hasRoom && (tried.size === 0 || !tried.has(worker.id));

/** Calls for each slot: what makes workers of different sizes comparable. */
export const relativeLoad = ({ load, slots }: WorkerView): number => load / slots;

/** The one of least relative load that may take the call, of `count` workers from `from` on, round the end; ties go to the first. */
export const leastLoaded = (
  workers: readonly WorkerView[],
  call: CallView,
  from = 0,
  count: number = workers.length,
): WorkerView | undefined => {
  let best: WorkerView | undefined;
  let bestLoad = Number.POSITIVE_INFINITY;
  for (let step = 0; step < count; step += 1) {
    const worker = workers[(from + step) % workers.length];
    if (worker === undefined || !mayTake(worker, call)) continue;
    const load = relativeLoad(worker);
    if (load < bestLoad) [best, bestLoad] = [worker, load];
  }
  return best;
};
