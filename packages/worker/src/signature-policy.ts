import type { KeyObject } from "node:crypto";

import type { Logger } from "@ol/common";
import { isSignedBy, registryClientError } from "@ol/registry-client";

/** off: nobody looks · warn: a bundle that no trusted key signed runs, and the log names it · enforce: it does not run. */
export type SignatureMode = "off" | "warn" | "enforce";

export interface SignatureOptions {
  readonly mode: SignatureMode;
  readonly trustedKeys: readonly KeyObject[];
}

/** So many bundles are remembered as told of. */
const MAX_TOLD = 10_000;

/** Which bundles may be run. */
export class SignaturePolicy {
  readonly mode: SignatureMode;
  readonly #keys: readonly KeyObject[];
  readonly #logger: Logger;
  readonly #told = new Set<string>();

  constructor({ mode, trustedKeys }: SignatureOptions, logger: Logger) {
    this.mode = mode;
    this.#keys = trustedKeys;
    this.#logger = logger;
  }

  /** Whether a trusted key made the signature; true where nobody looks. */
  trusts(name: string, digest: string, signature: string | undefined): boolean {
    return this.mode === "off" || isSignedBy(this.#keys, name, digest, signature);
  }

  /** Fails with OL_REGISTRY_CLIENT_UNTRUSTED if the bundle may not be run. */
  check(name: string, digest: string, signature: string | undefined): void {
    if (this.trusts(name, digest, signature)) return;
    const why =
      signature === undefined ? "is not signed" : "is signed by no trusted key, or for another name";
    if (this.mode === "enforce")
      throw registryClientError(
        "OL_REGISTRY_CLIENT_UNTRUSTED",
        `the bundle of ${name}@sha256:${digest} ${why}; upload it with a key that this worker trusts`,
      );
    const told = `${name}@${digest}`;
    if (this.#told.has(told)) return;
    if (this.#told.size >= MAX_TOLD) this.#told.clear();
    this.#told.add(told);
    this.#logger.warn("a lambda runs whose signature is not right", { lambda: name, digest, why });
  }
}
