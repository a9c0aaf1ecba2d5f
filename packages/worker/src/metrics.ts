import type { LambdaManager } from "@ol/lambda";
import type { SandboxPool } from "@ol/sandbox";
import { Counter, Gauge, Registry } from "prom-client";

/** The worker's numbers for Prometheus. Counted where things happen; read only when asked for. */
export class Metrics {
  readonly #registry = new Registry();

  constructor(manager: LambdaManager, pool: SandboxPool) {
    this.#calls(manager);
    this.#gauge("ol_worker_slots", "Calls this worker runs at once.", () => manager.load().slots);
    this.#gauge("ol_worker_running_calls", "Calls running now.", () => manager.load().busy);
    this.#gauge("ol_worker_queued_calls", "Calls waiting now.", () => manager.load().queue);
    this.#gauge("ol_worker_draining", "1 while the worker takes no new calls.", () =>
      Number(manager.load().draining),
    );
    this.#gauge("ol_worker_sandboxes", "Sandboxes that exist.", () => pool.stats().sandboxes);
    this.#gauge("ol_worker_sandbox_memory_bytes", "Memory promised to sandboxes.", () =>
      mebibytes(pool.stats().promisedMb),
    );
    this.#gauge("ol_worker_sandbox_memory_limit_bytes", "Memory that may be promised to sandboxes.", () =>
      mebibytes(pool.stats().memoryMb),
    );
    this.#gauge("ol_worker_resident_memory_bytes", "Resident memory of the worker's own process.", () =>
      process.memoryUsage.rss(),
    );
    this.#total("ol_worker_sandboxes_created_total", "Sandboxes made.", () => pool.stats().created);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #calls(manager: LambdaManager): void {
    const counter = new Counter({
      name: "ol_worker_calls_total",
      help: "Calls by how they ended: answered by the lambda, cut short, refused, or dropped since the client left.",
      labelNames: ["outcome"],
      registers: [],
      collect() {
        const { answered, cut, refused, dropped } = manager.counter;
        this.reset();
        for (const [outcome, count] of Object.entries({ answered, cut, refused, dropped }))
          this.inc({ outcome }, count);
      },
    });
    this.#registry.registerMetric(counter);
  }

  #gauge(name: string, help: string, value: () => number): void {
    const gauge = new Gauge({
      name,
      help,
      registers: [],
      collect() {
        this.set(value());
      },
    });
    this.#registry.registerMetric(gauge);
  }

  #total(name: string, help: string, value: () => number): void {
    const counter = new Counter({
      name,
      help,
      registers: [],
      collect() {
        this.reset();
        this.inc(value());
      },
    });
    this.#registry.registerMetric(counter);
  }
}

const mebibytes = (megabytes: number): number => megabytes * 1024 * 1024;
