import { randomBytes } from "node:crypto";

import { type Logger, messageOf, SIGNATURE_HEADER, signRequest, silentLogger } from "@ol/common";

/** What a Registration is made from. */
export interface RegistrationOptions {
  /** Where the balancers are: http://HOST:PORT. */
  readonly balancers: readonly string[];
  /** The cluster's token. */
  readonly token: string;
  /** What this worker is called there. */
  readonly id: string;
  /** Where the balancers find it. */
  readonly url: string;
  /** Calls it runs at once. */
  readonly slots: number;
  /** Between two registrations. Default 3,000: balancers forget a worker after 10 s. */
  readonly intervalMs?: number;
  readonly logger?: Logger;
}

const INTERVAL_MS = 3_000;
const ANSWER_MS = 3_000;
/** Leaving is a courtesy: a balancer that does not answer forgets the worker by itself. */
const LEAVE_MS = 1_000;
const MOST_REASON = 200;

/** Tells balancers every few seconds that this worker is there, until it leaves. */
export class Registration {
  readonly #options: RegistrationOptions;
  readonly #logger: Logger;
  readonly #stop = new AbortController();
  /** Tells this process from a successor that has its name: when it leaves, that one is to stay. */
  readonly #instance = randomBytes(8).toString("hex");
  /** What each balancer answered last, if it was no welcome. */
  readonly #problems = new Map<string, string | undefined>();
  #timer: NodeJS.Timeout | undefined;
  #leaving: Promise<void> | undefined;

  /** Begins at once. */
  constructor(options: RegistrationOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#registerAll();
  }

  /** Takes leave of the balancers, so that no further calls come. Never rejects. Idempotent. */
  leave(): Promise<void> {
    this.#leaving ??= this.#leave();
    return this.#leaving;
  }

  async #leave(): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#timer);
    const signal = AbortSignal.timeout(LEAVE_MS);
    await Promise.allSettled(
      this.#options.balancers.map((balancer) => this.#send(balancer, "DELETE", "", signal)),
    );
  }

  #registerAll(): void {
    const { balancers, intervalMs = INTERVAL_MS } = this.#options;
    for (const balancer of balancers) void this.#register(balancer);
    // Not after the answers: one balancer that does not answer must not keep the others from hearing.
    this.#timer = setTimeout(() => this.#registerAll(), intervalMs).unref();
  }

  async #register(balancer: string): Promise<void> {
    const { url, slots, id } = this.#options;
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(ANSWER_MS)]);
    let problem: string | undefined;
    try {
      const response = await this.#send(
        balancer,
        "PUT",
        JSON.stringify({ url, slots, instance: this.#instance }),
        signal,
      );
      const text = (await response.text()).trim().slice(0, MOST_REASON);
      if (response.status !== 200) problem = `${response.status}: ${text}`;
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      problem = messageOf(error instanceof Error ? (error.cause ?? error) : error);
    }
    if (this.#problems.has(balancer) && this.#problems.get(balancer) === problem) return;
    this.#problems.set(balancer, problem);
    if (problem === undefined) this.#logger.info("registered with a balancer", { balancer, id });
    else this.#logger.warn("could not register with a balancer", { balancer, id, problem });
  }

  #send(balancer: string, method: "PUT" | "DELETE", body: string, signal: AbortSignal): Promise<Response> {
    const { token, id } = this.#options;
    const query = method === "DELETE" ? `?instance=${this.#instance}` : "";
    const target = new URL(`/_ol/workers/${id}${query}`, balancer);
    const timeMs = Date.now();
    const signature = signRequest(token, { method, path: target.pathname + target.search, body, timeMs });
    return fetch(target, {
      method,
      headers: {
        "Content-Type": "application/json",
        [SIGNATURE_HEADER.time]: String(timeMs),
        [SIGNATURE_HEADER.signature]: signature,
      },
      ...(method === "PUT" && { body }),
      redirect: "error",
      signal,
    });
  }
}
