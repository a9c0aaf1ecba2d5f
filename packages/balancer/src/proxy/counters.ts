/** Upper bounds of the buckets for durations, in ms. */
export const DURATION_BOUNDS_MS: readonly number[] = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000,
];

/** How requests for lambdas ended. */
export const OUTCOMES = ["replied", "refused", "failed", "cut", "left"] as const;
export type RequestOutcome = (typeof OUTCOMES)[number];

/** What the proxy counts. Counted where things happen, made into text only when asked for. */
export class ProxyCounters {
  /** replied: with a worker's reply · refused: by the balancer · failed: no worker's reply came · cut: it did not come to its end · left: the client did. */
  readonly outcomes: Record<RequestOutcome, number> = { replied: 0, refused: 0, failed: 0, cut: 0, left: 0 };
  /** Tries at workers that came to no reply, by reason; "not-started" is a worker's own word. */
  readonly failures: Record<"connect" | "reset" | "timeout" | "protocol" | "not-started", number> = {
    connect: 0,
    reset: 0,
    timeout: 0,
    protocol: 0,
    "not-started": 0,
  };
  /** Times that a call was given to another worker. */
  retries = 0;
  /** Connections that were closed because there were too many. */
  droppedConnections = 0;
  /** One more than bounds: the last is all above. */
  readonly durations: number[] = Array.from({ length: DURATION_BOUNDS_MS.length + 1 }, () => 0);
  durationSumMs = 0;

  ended(outcome: RequestOutcome, durationMs: number): void {
    this.outcomes[outcome] += 1;
    this.durationSumMs += durationMs;
    let bucket = 0;
    while (bucket < DURATION_BOUNDS_MS.length && durationMs > (DURATION_BOUNDS_MS[bucket] as number))
      bucket += 1;
    this.durations[bucket] = (this.durations[bucket] as number) + 1;
  }
}
