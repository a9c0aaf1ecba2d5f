import { Counter, Gauge, type Metric, Registry } from "prom-client";

import { DURATION_BOUNDS_MS, type ProxyCounters } from "./counters.ts";
import type { PagesOptions } from "./pages.ts";

/** One value with its labels. */
type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

const entries = (counts: Readonly<Record<string, number>>, label: string): Sample[] =>
  Object.entries(counts).map(([name, count]) => [{ [label]: name }, count]);

/** The balancer's numbers for Prometheus. Counted where things happen; read only when asked for. */
export class Metrics {
  readonly #registry = new Registry();

  constructor({ host, dispatcher, connections }: Omit<PagesOptions, "logger" | "version">) {
    const { counters } = host;
    this.#counter(
      "ol_balancer_requests_total",
      "Requests for lambdas by how they ended: replied by a worker, refused by the balancer, failed before a reply came, cut short in it, left by their client.",
      ["outcome"],
      () => entries(counters.outcomes, "outcome"),
    );
    this.#counter(
      "ol_balancer_failures_total",
      "Tries at workers that came to no reply, by reason.",
      ["reason"],
      () => entries(counters.failures, "reason"),
    );
    this.#counter("ol_balancer_retries_total", "Calls given to another worker.", [], () => [
      [{}, counters.retries],
    ]);
    this.#counter(
      "ol_balancer_dropped_connections_total",
      "Connections closed because there were too many.",
      [],
      () => [[{}, counters.droppedConnections]],
    );
    this.#durations(counters);
    this.#gauge("ol_balancer_connections", "Connections of clients.", [], () => [[{}, connections()]]);
    this.#gauge("ol_balancer_open_requests", "Requests under way.", [], () => [[{}, host.open.size]]);
    this.#gauge("ol_balancer_kept_bytes", "Request bodies held in memory.", [], () => [[{}, host.keptBytes]]);
    this.#gauge("ol_balancer_draining", "1 while the balancer takes no new calls.", [], () => [
      [{}, Number(host.draining)],
    ]);
    this.#gauge("ol_balancer_worker_calls", "Calls at a worker now.", ["worker"], () =>
      dispatcher.snapshot().workers.map(({ id, inFlight }): Sample => [{ worker: id }, inFlight]),
    );
    this.#gauge("ol_balancer_resident_memory_bytes", "Resident memory of the process.", [], () => [
      [{}, process.memoryUsage.rss()],
    ]);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #gauge(name: string, help: string, labelNames: string[], samples: () => readonly Sample[]): void {
    const gauge = new Gauge({
      name,
      help,
      labelNames,
      registers: [],
      collect() {
        this.reset();
        for (const [labels, value] of samples()) this.set(labels, value);
      },
    });
    this.#registry.registerMetric(gauge);
  }

  #counter(name: string, help: string, labelNames: string[], samples: () => readonly Sample[]): void {
    const counter = new Counter({
      name,
      help,
      labelNames,
      registers: [],
      collect() {
        this.reset();
        for (const [labels, value] of samples()) this.inc(labels, value);
      },
    });
    this.#registry.registerMetric(counter);
  }

  #durations(counters: ProxyCounters): void {
    const name = "ol_balancer_request_seconds";
    const help = "From a request's header to the last that a worker, or the balancer, said to it.";
    const about = { name, help, type: "histogram", aggregator: "sum" };
    const values = (): readonly object[] => {
      let below = 0;
      const buckets = counters.durations.map((count, at) => {
        below += count;
        const bound = DURATION_BOUNDS_MS[at];
        const le = bound === undefined ? "+Inf" : bound / 1000;
        return { metricName: `${name}_bucket`, exemplar: null, labels: { le }, value: below };
      });
      return [
        ...buckets,
        { metricName: `${name}_sum`, labels: {}, value: counters.durationSumMs / 1000 },
        { metricName: `${name}_count`, labels: {}, value: below },
      ];
    };
    // The library's own histogram takes values one by one; these were counted already. A registry only asks for this.
    const histogram = { ...about, get: () => Promise.resolve({ ...about, values: values() }) };
    this.#registry.registerMetric(histogram as unknown as Metric);
  }
}
