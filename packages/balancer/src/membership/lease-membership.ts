import { randomBytes } from "node:crypto";

import { isProofOf, type Logger, messageOf, SIGNATURE_AGE_MS, silentLogger } from "@ol/common";

import { type Clock, machineClock } from "../clock.ts";
import { balancerError } from "../errors.ts";
import type { WorkerAddress } from "../options.ts";
import { httpProbe, type Probe } from "../probe.ts";
import type { Membership } from "./membership.ts";
import {
  checkedSignature,
  isRefusal,
  type LeasedAddress,
  readRegistration,
  type Refusal,
  type RegistrationRequest,
} from "./registration.ts";

/** Without a further registration for so long, a worker is taken for gone; it registers every 3 s. */
export const LEASE_MS = 10_000;
/** How long a worker may take to prove that it knows the token. */
const PROOF_MS = 2_000;
const NONCE_BYTES = 16;
/** More is no cluster but a mistake. */
const MOST_WORKERS = 10_000;
const LEAST_TOKEN = 16;
const MOST_SHOWN = 200;

export interface LeaseMembershipOptions {
  /** The cluster's token: who knows it may register workers. */
  readonly token: string;
  readonly probe?: Probe;
  readonly clock?: Clock;
  /** Ms since 1970. */
  readonly epochMs?: () => number;
  readonly logger?: Logger;
}

interface LeasedWorker {
  readonly address: WorkerAddress;
  readonly instance: string;
  expire: () => void;
}

/**
 * Workers that register themselves, each for 10 s at a time. A registration is signed with the cluster's token, and the URL
 * that it names has to prove that it knows the token too, before it gets its first call: a mistake in a URL, or a
 * message that somebody else sent on, must not send calls to a stranger.
 */
export class LeaseMembership implements Membership {
  readonly name = "registration";
  readonly #token: string;
  readonly #probe: Probe;
  readonly #clock: Clock;
  readonly #epochMs: () => number;
  readonly #logger: Logger;
  readonly #workers = new Map<string, LeasedWorker>();
  /** Signatures that were used, and when; kept until they are too old to be believed, whatever their sender's clock says. */
  readonly #used = new Map<string, number>();
  #tell: (workers: readonly WorkerAddress[]) => void = () => undefined;
  readonly #closed = new AbortController();

  /** Fails with OL_BALANCER_BAD_OPTION for a token that can be guessed. */
  constructor(options: LeaseMembershipOptions) {
    const { token, probe, clock, epochMs, logger } = options;
    if (token.length < LEAST_TOKEN)
      throw balancerError(
        "OL_BALANCER_BAD_OPTION",
        `token: it has less than ${LEAST_TOKEN} characters, and could be guessed`,
      );
    this.#token = token;
    this.#probe = probe ?? httpProbe();
    this.#clock = clock ?? machineClock;
    this.#epochMs = epochMs ?? (() => Date.now());
    this.#logger = logger ?? silentLogger;
  }

  start(tell: (workers: readonly WorkerAddress[]) => void): Promise<void> {
    this.#tell = tell;
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#closed.abort();
    for (const { expire } of this.#workers.values()) expire();
    return Promise.resolve();
  }

  /** Answers PUT and DELETE of /_ol/workers/ID. */
  async handle(request: RegistrationRequest): Promise<{ readonly status: number; readonly text: string }> {
    const signed = checkedSignature(request, this.#token, this.#epochMs());
    if (isRefusal(signed)) return this.#refused(request, signed);
    if (!this.#useOnce(signed.signature))
      return this.#refused(request, { status: 401, text: "this registration was used before" });
    const registration = readRegistration(request);
    if (isRefusal(registration)) return this.#refused(request, registration);
    if (registration.kind === "leave") {
      // A successor with its name stays.
      if (this.#workers.get(registration.id)?.instance === registration.instance)
        this.#drop(registration.id, "it leaves");
      return { status: 200, text: "gone" };
    }
    const { address, instance } = registration;
    if (this.#workers.get(address.id)?.address.url !== address.url) {
      if (this.#workers.size >= MOST_WORKERS)
        return this.#refused(request, { status: 503, text: "there are too many workers" });
      const refusal = await this.#prove(address);
      if (refusal !== undefined) return this.#refused(request, refusal);
    }
    if (!this.#closed.signal.aborted) this.#renew(address, instance);
    return { status: 200, text: "registered" };
  }

  /** Whether the signature is used for the first time. */
  #useOnce(signature: string): boolean {
    const nowMs = this.#epochMs();
    for (const [used, usedMs] of this.#used) {
      // It may be from up to 30 s in the future, and is believed for 30 s after that.
      if (nowMs - usedMs <= 2 * SIGNATURE_AGE_MS) break;
      this.#used.delete(used);
    }
    if (this.#used.has(signature)) return false;
    this.#used.set(signature, nowMs);
    return true;
  }

  /** Asks the URL to prove that it knows the token; why it does not, if so. */
  async #prove({ id, url }: { readonly id: string; readonly url: string }): Promise<Refusal | undefined> {
    const nonce = randomBytes(NONCE_BYTES).toString("hex");
    const late = new AbortController();
    const cancel = this.#clock.after(PROOF_MS, () => late.abort(new Error("no answer in time")));
    try {
      const signal = AbortSignal.any([late.signal, this.#closed.signal]);
      const proof = await this.#probe.proof(new URL(url), id, nonce, signal);
      if (isProofOf(this.#token, id, nonce, proof)) return undefined;
      return { status: 422, text: "the URL does not answer with the cluster's token" };
    } catch (error) {
      return { status: 422, text: `the URL does not answer with the cluster's token: ${messageOf(error)}` };
    } finally {
      cancel();
    }
  }

  #renew(address: LeasedAddress, instance: string): void {
    const known = this.#workers.get(address.id);
    known?.expire();
    const expire = this.#clock.after(LEASE_MS, () => this.#drop(address.id, "it does not register any more"));
    this.#workers.set(address.id, { address, instance, expire });
    if (known?.address.url === address.url && known.address.slots === address.slots) return;
    this.#tellAll();
  }

  #drop(id: string, reason: string): void {
    const worker = this.#workers.get(id);
    if (worker === undefined) return;
    worker.expire();
    this.#workers.delete(id);
    this.#logger.info("a worker is no longer registered", { worker: id, reason });
    this.#tellAll();
  }

  #tellAll(): void {
    this.#tell([...this.#workers.values()].map(({ address }) => address));
  }

  #refused({ id }: RegistrationRequest, { status, text }: Refusal): Refusal {
    // Whoever can reach the port can cause this line: it holds nothing long that a stranger wrote.
    this.#logger.warn("a registration was refused", {
      worker: id.slice(0, MOST_SHOWN),
      status,
      text,
    });
    return { status, text };
  }
}
