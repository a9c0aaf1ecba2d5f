import {
  type Build,
  type Decision,
  FORK_MS_PER_MB,
  LEAST_NODE_MB,
  type NodeId,
  type PinId,
  type PinReport,
  type ZygotePolicy,
} from "@ol/lambda";

import { quantile } from "../statistics.ts";
import { nameOf } from "./data.ts";
import type { Arrival, Workload } from "./workload.ts";

/** A start without a package: a sandbox is forked, and answers. */
export const FORK_MS = 3;
/** A zygote's own user namespace, process and collection of garbage besides what it imports. */
const BUILD_MS = 20;
/** Builds are niced, and share the machine with what they are for. */
const BUILD_SLOWNESS = 2;

/** Of the packages that were measured, these start threads while they are imported. */
export const UNFIT: readonly string[] = ["polars", "pyarrow"];

/** How a policy did. */
export interface SimulationResult {
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly builds: number;
  /** CPU time that the builds took. */
  readonly buildSec: number;
  /** The most that its zygotes held at any time. */
  readonly mostMb: number;
}

interface SimulatedNode {
  readonly mask: ReadonlySet<PinId>;
  /** Its own memory and that of those above it: what a fork copies page tables for. */
  readonly pathMb: number;
  readonly ownMb: number;
}

/** Plays a workload to a policy in virtual time: starts, and builds that take their time beside them. */
class Simulation {
  readonly #workload: Workload;
  readonly #policy: ZygotePolicy;
  readonly #nodes = new Map<NodeId, SimulatedNode>();
  readonly #times: number[] = [];
  #building: { readonly build: Build; readonly readyMs: number } | undefined;
  #builds = 0;
  #buildMs = 0;
  #mb = 0;
  #mostMb = 0;

  constructor(workload: Workload, policy: ZygotePolicy) {
    this.#workload = workload;
    this.#policy = policy;
  }

  run(): SimulationResult {
    this.#do(this.#policy.next(0), 0);
    for (const arrival of this.#workload.arrivals) {
      this.#buildUntil(arrival.atMs);
      this.#start(arrival);
    }
    const sorted = [...this.#times].sort((a, b) => a - b);
    return {
      meanMs: sorted.reduce((sum, ms) => sum + ms, 0) / sorted.length,
      p50Ms: quantile(sorted, 0.5),
      p99Ms: quantile(sorted, 0.99),
      builds: this.#builds,
      buildSec: this.#buildMs / 1000,
      mostMb: this.#mostMb,
    };
  }

  #start({ atMs, set }: Arrival): void {
    const id = this.#policy.choose(set);
    const node = id === undefined ? undefined : this.#nodes.get(id);
    const costs = new Map<PinId, PinReport>();
    let ms = FORK_MS + FORK_MS_PER_MB * (node?.pathMb ?? 0);
    for (const pin of set.pins) {
      if (node?.mask.has(pin) === true) continue;
      const cost = this.#workload.costs.get(pin);
      if (cost === undefined) continue;
      costs.set(pin, { ms: cost.ms, mb: cost.mb, modules: cost.top });
      ms += cost.ms;
    }
    this.#times.push(ms);
    this.#do(this.#policy.started({ set, node: id, nowMs: atMs, costs }), atMs);
  }

  #do({ evict, build }: Decision, nowMs: number): void {
    for (const id of evict) {
      this.#mb -= this.#nodes.get(id)?.ownMb ?? 0;
      this.#nodes.delete(id);
    }
    if (build === undefined) return;
    const cost = this.#costOf(build.pins);
    this.#builds += 1;
    this.#buildMs += BUILD_MS + cost.ms;
    this.#building = { build, readyMs: nowMs + (BUILD_MS + cost.ms) * BUILD_SLOWNESS };
  }

  #buildUntil(nowMs: number): void {
    for (let current = this.#building; current !== undefined; current = this.#building) {
      const { build, readyMs } = current;
      if (readyMs > nowMs) return;
      this.#building = undefined;
      const unfit = build.pins.filter((pin) => UNFIT.includes(nameOf(pin)));
      if (unfit.length > 0) {
        this.#do(this.#policy.buildFailed(build.node, { unfit, reason: "threads" }, readyMs), readyMs);
        continue;
      }
      const cost = this.#costOf(build.pins);
      const above = build.parent === undefined ? undefined : this.#nodes.get(build.parent);
      this.#nodes.set(build.node, {
        mask: new Set(build.mask),
        pathMb: (above?.pathMb ?? 0) + cost.mb,
        ownMb: cost.mb,
      });
      this.#mb += cost.mb;
      this.#mostMb = Math.max(this.#mostMb, this.#mb);
      this.#do(this.#policy.built(build.node, cost, readyMs), readyMs);
    }
  }

  #costOf(pins: readonly PinId[]): { ms: number; mb: number } {
    let ms = 0;
    let mb = LEAST_NODE_MB;
    for (const pin of pins) {
      ms += this.#workload.costs.get(pin)?.ms ?? 0;
      mb += this.#workload.costs.get(pin)?.mb ?? 0;
    }
    return { ms, mb };
  }
}

/** Throws nothing, if the policy does not. */
export const simulate = (workload: Workload, policy: ZygotePolicy): SimulationResult =>
  new Simulation(workload, policy).run();
