import type { IncomingMessage } from "node:http";

import { type Logger, PROXY_HEADER, ProxyProofs, silentLogger, TrustedPeers } from "@ol/common";

import { Audience } from "./audience.ts";
import { workerError } from "./errors.ts";

/** Who is believed what X-OL-* fields say. */
export interface TrustOptions {
  /** Addresses or networks. */
  readonly trustedProxies?: readonly string[];
  /** The cluster's token: whoever proves that he knows it. */
  readonly token?: string;
  readonly logger?: Logger;
}

const badOptions = (message: string): Error => workerError("OL_WORKER_BAD_OPTIONS", message);

/** The proxies that are believed what they say in X-OL-* fields: by their address, or by a proof that they know the cluster's token. */
export class TrustedProxies {
  /** Those that there are. */
  readonly audience: Audience = new Audience();
  readonly #peers: TrustedPeers;
  readonly #proofs: ProxyProofs | undefined;

  /** Fails with OL_WORKER_BAD_OPTIONS. */
  constructor({ trustedProxies = [], token, logger = silentLogger }: TrustOptions) {
    this.#peers = new TrustedPeers(trustedProxies, badOptions);
    const untimely = (balancer: string, byMs: number): void =>
      logger.warn("a load balancer is not believed: its clock and this machine's differ, or it is a replay", {
        balancer,
        bySec: Math.round(byMs / 1000),
      });
    this.#proofs = token === undefined ? undefined : new ProxyProofs({ token, untimely });
  }

  /** Whether the request is from one of them. `told`: it is answered at once, with the worker's load. */
  has({ headers, socket }: IncomingMessage, told: boolean): boolean {
    const proof = headers[PROXY_HEADER];
    const id = typeof proof === "string" ? this.#proofs?.idIn(proof) : undefined;
    if (id !== undefined) {
      this.audience.balancer(id, socket, told);
      return true;
    }
    if (!this.#peers.some || !this.#peers.has(socket.remoteAddress)) return false;
    this.audience.other();
    return true;
  }
}
