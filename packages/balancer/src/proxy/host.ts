import type { Logger, ProxyProof } from "@ol/common";

import type { Dispatcher } from "../dispatcher.ts";
import type { ProxyCounters } from "./counters.ts";
import type { ProxyEngine } from "./engine.ts";
import type { ProxyExchange } from "./exchange.ts";
import type { ProxyLimits } from "./limits.ts";
import type { KeptBudget } from "./request-body.ts";
import type { WorkerPools } from "./worker-pools.ts";

/** What all exchanges of a balancer share. */
export interface ProxyHost extends KeptBudget {
  readonly dispatcher: Pick<Dispatcher, "enter">;
  readonly engine: ProxyEngine;
  readonly pools: WorkerPools;
  readonly limits: ProxyLimits;
  readonly counters: ProxyCounters;
  readonly logger: Logger;
  readonly open: Set<ProxyExchange>;
  /** What workers know this balancer by. */
  readonly proof: ProxyProof | undefined;
  readonly draining: boolean;
  /** In ms; only grows. As exact as the last look at the exchanges. */
  readonly nowMs: number;
}

/** What was found out about a request before anything is done for it. */
export interface ProxyCall {
  readonly name: string;
  /** Path and query, as the client wrote them. */
  readonly target: string;
  readonly invocationId: string;
  /** What the worker gets of the request's header: see `workerFields`. */
  readonly fields: readonly string[];
  readonly client: string;
  /** So long the caller still waits, if it may say so and did. */
  readonly deadlineMs: number | undefined;
  /** The client waits for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean;
}
