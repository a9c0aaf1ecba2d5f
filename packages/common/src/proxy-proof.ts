import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";

import { SIGNATURE_AGE_MS } from "./cluster-signature.ts";

/** Where a load balancer proves to a worker that it knows the cluster's token. Never passed on, in whatever direction. */
export const PROXY_HEADER = "x-ol-proxy";

/** A proof is made anew so often; one is good for three times as long, for clocks that differ. */
const NEW_MS = 10_000;
const ID_BYTES = 8;
/** The id, when it was made in ms since 1970, and HMAC-SHA256 in hex. */
const PROOF = /^([0-9a-f]{16})\.([0-9]{1,15})\.([0-9a-f]{64})$/u;
/** More balancers than a worker has, each with the proofs of half a minute; only who knows the token can make one. */
const MOST_KNOWN = 256;

const macOf = (token: string, id: string, timeMs: string): string =>
  createHmac("sha256", token).update(`ol-proxy\n${id}\n${timeMs}`).digest("hex");

/** Proves with each request of a load balancer that it is one of the cluster, without showing the token. */
export class ProxyProof {
  /** Tells this balancer from the others. */
  readonly id: string = randomBytes(ID_BYTES).toString("hex");
  readonly #token: string;
  readonly #nowMs: () => number;
  #text = "";
  #untilMs = Number.NEGATIVE_INFINITY;

  /** `nowMs` is the time since 1970. */
  constructor(token: string, nowMs: () => number = () => Date.now()) {
    this.#token = token;
    this.#nowMs = nowMs;
  }

  /** The value of PROXY_HEADER at this moment. */
  text(): string {
    const nowMs = this.#nowMs();
    // A clock that was set back makes a new one, too.
    if (nowMs < this.#untilMs && nowMs > this.#untilMs - 2 * NEW_MS) return this.#text;
    this.#text = `${this.id}.${nowMs}.${macOf(this.#token, this.id, String(nowMs))}`;
    this.#untilMs = nowMs + NEW_MS;
    return this.#text;
  }
}

/** What a proof was found to be. */
interface KnownProof {
  readonly id: string;
  readonly timeMs: number;
}

export interface ProxyProofsOptions {
  readonly token: string;
  /** Ms since 1970. */
  readonly nowMs?: () => number;
  /** Hears once of each balancer whose proof is right but for its time, by how many ms that differs. */
  readonly untimely?: (id: string, byMs: number) => void;
}

/** Tells a worker which requests are from load balancers that know the token. */
export class ProxyProofs {
  readonly #token: string;
  readonly #nowMs: () => number;
  readonly #untimely: (id: string, byMs: number) => void;
  readonly #told = new Set<string>();
  /** Each proof comes with many requests; those that are right are worked out once. */
  readonly #known = new Map<string, KnownProof>();

  constructor({ token, nowMs = () => Date.now(), untimely = () => undefined }: ProxyProofsOptions) {
    this.#token = token;
    this.#nowMs = nowMs;
    this.#untimely = untimely;
  }

  /** The id of the balancer whose proof this is; undefined for what is none, or is older or newer than 30 s. */
  idIn(text: string): string | undefined {
    const known = this.#known.get(text) ?? this.#check(text);
    if (known === undefined) return undefined;
    const ageMs = this.#nowMs() - known.timeMs;
    if (Math.abs(ageMs) <= SIGNATURE_AGE_MS) return known.id;
    this.#tell(known.id, ageMs);
    return undefined;
  }

  #tell(id: string, byMs: number): void {
    if (this.#told.has(id) || this.#told.size >= MOST_KNOWN) return;
    this.#told.add(id);
    this.#untimely(id, byMs);
  }

  #check(text: string): KnownProof | undefined {
    const [, id = "", time = "", mac = ""] = PROOF.exec(text) ?? [];
    if (id === "" || !timingSafeEqual(Buffer.from(macOf(this.#token, id, time)), Buffer.from(mac)))
      return undefined;
    if (this.#known.size >= MOST_KNOWN) this.#known.clear();
    const known = { id, timeMs: Number(time) };
    this.#known.set(text, known);
    return known;
  }
}
