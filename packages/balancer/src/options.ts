import { type Logger, type ProxyProof, silentLogger } from "@ol/common";

import { type Clock, machineClock } from "./clock.ts";
import { balancerError } from "./errors.ts";
import type { Membership } from "./membership/membership.ts";
import { checkedAddress } from "./membership/address.ts";
import { type AnyPolicy, DEFAULT_POLICY, policyNamed } from "./policies/index.ts";
import type { Thresholds } from "./policies/policy.ts";
import { httpProbe, type Probe } from "./probe.ts";
import { checkedThresholds } from "./thresholds.ts";

/** A worker as a list or a registration names it. */
export interface WorkerAddress {
  /** Default: the URL's host and port. */
  readonly id?: string;
  /** http://HOST:PORT or https://HOST:PORT. */
  readonly url: string;
  /** Calls it runs at once, if that is known already. */
  readonly slots?: number;
}

/** What a Dispatcher is made from. */
export interface DispatcherOptions {
  /** One of POLICIES by name. Default LARD. */
  readonly policy?: string;
  /** A policy that is not one of them; instead of `policy`. */
  readonly customPolicy?: AnyPolicy;
  /** Workers that are there from the beginning and are never removed. */
  readonly workers?: readonly WorkerAddress[];
  /** Where further workers come from. The dispatcher starts and closes them. */
  readonly memberships?: readonly Membership[];
  /** A worker with fewer calls for each slot has little to do. Default 1. */
  readonly loadLow?: number;
  /** One with as many has too much to do, and its functions get another worker. Default 4, at least 2. */
  readonly loadHigh?: number;
  /** The most calls that a worker is sent at once; besides that, at most 2 x `loadHigh` for each slot. Default: no other limit. */
  readonly maxConn?: number;
  /** Calls of one function that workers are sent at once. Default: no limit. */
  readonly maxConnPerFunction?: number;
  /** Calls that may wait here, for each slot of all workers. Default 2. */
  readonly queuePerSlot?: number;
  /** How long a call may wait here, in ms. Default 10,000. */
  readonly queueTimeoutMs?: number;
  /** Whether GET and HEAD are sent to another worker also after they may have begun on one. Default false. */
  readonly retryIdempotent?: boolean;
  /** Whether workers are asked for their health and state. Default true. */
  readonly watch?: boolean;
  /** How workers are asked. Default: over HTTP, with `proof`. */
  readonly probe?: Probe;
  /** What workers know this balancer by. */
  readonly proof?: ProxyProof;
  readonly clock?: Clock;
  readonly logger?: Logger;
}

/** The same, checked and with every default filled in. */
export interface ResolvedOptions {
  readonly policy: AnyPolicy;
  readonly workers: readonly WorkerAddress[];
  readonly memberships: readonly Membership[];
  readonly thresholds: Thresholds;
  readonly maxConn: number;
  readonly maxConnPerFunction: number;
  readonly queuePerSlot: number;
  readonly queueTimeoutMs: number;
  readonly retryIdempotent: boolean;
  readonly watch: boolean;
  readonly probe: Probe;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Fails with OL_BALANCER_BAD_OPTION. */
export const resolveOptions = (options: DispatcherOptions): ResolvedOptions => ({
  policy: options.customPolicy ?? policyNamed(options.policy ?? DEFAULT_POLICY),
  workers: (options.workers ?? []).map(checkedAddress),
  memberships: options.memberships ?? [],
  thresholds: checkedThresholds(options.loadLow, options.loadHigh),
  maxConn: atLeast("max_conn", 1, options.maxConn ?? Number.POSITIVE_INFINITY),
  maxConnPerFunction: atLeast(
    "max_conn_per_function",
    1,
    options.maxConnPerFunction ?? Number.POSITIVE_INFINITY,
  ),
  queuePerSlot: atLeast("queue_per_slot", 0, options.queuePerSlot ?? 2),
  queueTimeoutMs: atLeast("queue_timeout_ms", 1, options.queueTimeoutMs ?? 10_000),
  retryIdempotent: options.retryIdempotent ?? false,
  watch: options.watch ?? true,
  probe: options.probe ?? httpProbe(options.proof),
  clock: options.clock ?? machineClock,
  logger: options.logger ?? silentLogger,
});

const atLeast = (name: string, least: number, value: number): number => {
  if (value >= least) return value;
  throw balancerError("OL_BALANCER_BAD_OPTION", `${name}: ${value} is no number from ${least} on`);
};
