import { lookup } from "node:dns/promises";
import { isIPv6 } from "node:net";

import { type Logger, messageOf, silentLogger } from "@ol/common";

import { type Clock, machineClock } from "../clock.ts";
import type { WorkerAddress } from "../options.ts";
import { checkedAddress } from "./address.ts";
import type { Membership } from "./membership.ts";

/** As long as answers for a headless Service of Kubernetes may be kept. */
const REFRESH_MS = 5_000;

export interface DnsMembershipOptions {
  /** http://NAME:PORT: each address of the name is a worker. */
  readonly url: string;
  /** The addresses of a name. Default: what this machine's resolver says. */
  readonly resolve?: (name: string) => Promise<readonly string[]>;
  readonly clock?: Clock;
  readonly logger?: Logger;
}

/**
 * Workers by a name with several addresses, asked for every 5 s. While it cannot be resolved, what it was last stays: those
 * that are really gone are found by their checks.
 */
export class DnsMembership implements Membership {
  readonly name = "dns";
  readonly #url: URL;
  readonly #resolve: (name: string) => Promise<readonly string[]>;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #tell: (workers: readonly WorkerAddress[]) => void = () => undefined;
  #cancel: (() => void) | undefined;
  #known = "";
  #failing = false;
  #closed = false;

  /** Fails with OL_BALANCER_BAD_OPTION. */
  constructor({
    url,
    resolve = addressesOf,
    clock = machineClock,
    logger = silentLogger,
  }: DnsMembershipOptions) {
    this.#url = new URL(checkedAddress({ url }).url);
    this.#resolve = resolve;
    this.#clock = clock;
    this.#logger = logger;
  }

  start(tell: (workers: readonly WorkerAddress[]) => void): Promise<void> {
    this.#tell = tell;
    return this.#refresh();
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#cancel?.();
    return Promise.resolve();
  }

  async #refresh(): Promise<void> {
    try {
      const addresses = await this.#resolve(this.#url.hostname);
      if (this.#closed) return;
      this.#failing = false;
      this.#found(addresses);
    } catch (error) {
      if (!this.#failing && !this.#closed)
        this.#logger.warn("the workers' name cannot be resolved; those known before stay", {
          name: this.#url.hostname,
          error: messageOf(error),
        });
      this.#failing = true;
    } finally {
      if (!this.#closed) this.#cancel = this.#clock.after(REFRESH_MS, () => void this.#refresh());
    }
  }

  #found(addresses: readonly string[]): void {
    // Name servers answer in another order each time.
    const sorted = [...new Set(addresses)].sort();
    if (sorted.join(" ") === this.#known) return;
    this.#known = sorted.join(" ");
    this.#tell(sorted.map((address) => ({ url: this.#at(address) })));
  }

  #at(address: string): string {
    const url = new URL(this.#url);
    url.hostname = isIPv6(address) ? `[${address}]` : address;
    return url.origin;
  }
}

const addressesOf = async (name: string): Promise<readonly string[]> =>
  (await lookup(name, { all: true })).map(({ address }) => address);
