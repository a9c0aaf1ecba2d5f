import type { Outcome } from "../calls/http-call.ts";
import { Histogram } from "../histogram.ts";
import type { Row } from "../results.ts";
import { single } from "../sandboxes/series.ts";

/** What was seen in one second of a play, by when calls were due. */
export interface Second {
  readonly second: number;
  readonly calls: number;
  /** Of those that were answered, from when they were due; NaN if none was. */
  readonly meanMs: number;
  readonly maxMs: number;
}

interface OpenSecond {
  calls: number;
  answered: number;
  sumMs: number;
  maxMs: number;
}

const REFUSED: ReadonlySet<number> = new Set([429, 503]);
/** Where the curve of a play has its points: so many nines, in tenths. */
const CURVE_STEPS = 40;

/** Counts what came of calls, as they end: nothing is kept of a single one. */
export class Tally {
  readonly #fromDue = new Histogram();
  readonly #fromSent = new Histogram();
  readonly #late = new Histogram();
  readonly #cold = new Histogram();
  readonly #seconds: OpenSecond[] = [];
  readonly #begunMs: number;
  #calls = 0;
  #refused = 0;
  #failed = 0;
  #unsent = 0;

  /** `begunMs`: when the play began, on the clock of `performance.now()`. */
  constructor(begunMs: number) {
    this.#begunMs = begunMs;
  }

  get calls(): number {
    return this.#calls;
  }

  get failed(): number {
    return this.#failed;
  }

  get unsent(): number {
    return this.#unsent;
  }

  /** It was due, and could not be sent since too many were on their way. */
  skip(dueMs: number): void {
    this.#second(dueMs).calls += 1;
    this.#calls += 1;
    this.#unsent += 1;
  }

  add({ dueMs, endMs, status, cold }: Outcome, sentMs: number): void {
    const second = this.#second(dueMs);
    second.calls += 1;
    this.#calls += 1;
    this.#late.record(sentMs - dueMs);
    if (status !== 200) {
      if (REFUSED.has(status)) this.#refused += 1;
      else this.#failed += 1;
      return;
    }
    const tookMs = endMs - dueMs;
    second.answered += 1;
    second.sumMs += tookMs;
    second.maxMs = Math.max(second.maxMs, tookMs);
    this.#fromDue.record(tookMs);
    this.#fromSent.record(endMs - sentMs);
    if (cold) this.#cold.record(tookMs);
  }

  rows(prefix: string, tookMs: number, labels: Readonly<Record<string, string | number>>): readonly Row[] {
    const times = (what: string, histogram: Histogram): Row[] =>
      histogram.count === 0
        ? []
        : [
            {
              name: `${prefix}: ${what}`,
              unit: "ms",
              values: histogram.summary(),
              ratios: {},
              labels: { ...labels, what },
            },
          ];
    const count = (what: string, value: number): Row =>
      single(`${prefix}: ${what}`, "calls", value, { ...labels, what });
    const answered = this.#fromDue.count;
    return [
      ...times("from when it was due", this.#fromDue),
      ...times("from when it was sent", this.#fromSent),
      ...times("cold starts, from when it was due", this.#cold),
      ...times("sent late", this.#late),
      single(`${prefix}: answered`, "1/s", (answered * 1_000) / tookMs, { ...labels, what: "throughput" }),
      count("due", this.#calls),
      count("answered", answered),
      count("cold starts", this.#cold.count),
      count("told to come again (429, 503)", this.#refused),
      count("failed", this.#failed),
      count("not sent", this.#unsent),
    ];
  }

  /** Quantiles as a curve: how many nines, and the ms that so large a share is not above. */
  curve(): readonly (readonly [nines: number, ms: number])[] {
    const points: [number, number][] = [];
    for (let step = 0; step <= CURVE_STEPS; step += 1) {
      const nines = step / 10;
      // No share is smaller than one of the calls.
      if (10 ** nines > this.#fromDue.count) break;
      points.push([nines, this.#fromDue.quantile(1 - 10 ** -nines)]);
    }
    return points;
  }

  seconds(): readonly Second[] {
    return Array.from({ length: this.#seconds.length }, (_, second) => {
      const { calls, answered, sumMs, maxMs } = this.#seconds[second] ?? {
        calls: 0,
        answered: 0,
        sumMs: 0,
        maxMs: Number.NaN,
      };
      return { second, calls, meanMs: sumMs / answered, maxMs: answered === 0 ? Number.NaN : maxMs };
    });
  }

  #second(dueMs: number): OpenSecond {
    const at = Math.max(Math.floor((dueMs - this.#begunMs) / 1_000), 0);
    return (this.#seconds[at] ??= { calls: 0, answered: 0, sumMs: 0, maxMs: 0 });
  }
}
