import type { Logger } from "@ol/common";

import type { Clock } from "./clock.ts";

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
  /** Workers that are there from the beginning and are never removed. */
  readonly workers?: readonly WorkerAddress[];
  readonly clock?: Clock;
  readonly logger?: Logger;
}
