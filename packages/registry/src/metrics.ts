import { Counter, Gauge, Histogram, Registry } from "prom-client";

import type { ObjectStore } from "./store/store.ts";
import type { ScrubState } from "./scrubbing.ts";

/** From a reply out of memory to a large object at a slow client's pace. */
const SECONDS = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60];

/** What became of one request. */
export interface Served {
  /** As S3's documentation calls it; `Unknown` for what could not be read that far. */
  readonly operation: string;
  readonly status: number;
  /** S3's code, if it failed. */
  readonly error?: string;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly seconds: number;
}

/** What is counted of requests, in a form for people and programs. */
export interface RequestStats {
  readonly total: number;
  readonly failed: number;
  readonly running: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** What is counted, and how Prometheus is told. No label holds a name of a bucket, an object or a key. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests: Counter<"operation" | "status">;
  readonly #errors: Counter<"code">;
  readonly #seconds: Histogram<"operation">;
  #total = 0;
  #failed = 0;
  #running = 0;
  #receivedBytes = 0;
  #sentBytes = 0;

  constructor(store: ObjectStore, scrub: () => ScrubState) {
    const registers = [this.#registry];
    this.#requests = new Counter({
      name: "ol_registry_requests_total",
      help: "Requests answered, by what they asked for and the status of the reply.",
      labelNames: ["operation", "status"],
      registers,
    });
    this.#errors = new Counter({
      name: "ol_registry_errors_total",
      help: "Requests that failed, by S3's code.",
      labelNames: ["code"],
      registers,
    });
    this.#seconds = new Histogram({
      name: "ol_registry_request_seconds",
      help: "How long requests took, from their header to the last byte of their reply.",
      labelNames: ["operation"],
      buckets: SECONDS,
      registers,
    });
    this.#counters();
    this.#storage(store, scrub);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  get stats(): RequestStats {
    return {
      total: this.#total,
      failed: this.#failed,
      running: this.#running,
      receivedBytes: this.#receivedBytes,
      sentBytes: this.#sentBytes,
    };
  }

  begun(): void {
    this.#running += 1;
  }

  ended({ operation, status, error, receivedBytes, sentBytes, seconds }: Served): void {
    this.#running -= 1;
    this.#total += 1;
    this.#receivedBytes += receivedBytes;
    this.#sentBytes += sentBytes;
    this.#requests.inc({ operation, status: String(status) });
    this.#seconds.observe({ operation }, seconds);
    if (error === undefined) return;
    this.#failed += 1;
    this.#errors.inc({ code: error });
  }

  #counters(): void {
    this.#counter("ol_registry_received_bytes_total", "Bytes of request bodies.", () => this.#receivedBytes);
    this.#counter("ol_registry_sent_bytes_total", "Bytes of reply bodies.", () => this.#sentBytes);
    this.#gauge("ol_registry_running_requests", "Requests being answered.", () => this.#running);
    this.#gauge("ol_registry_resident_memory_bytes", "Resident memory of the process.", () =>
      process.memoryUsage.rss(),
    );
  }

  #storage(store: ObjectStore, scrub: () => ScrubState): void {
    this.#gauge("ol_registry_objects", "Objects that are there.", () => store.stats().objects);
    this.#gauge(
      "ol_registry_object_bytes",
      "Bytes of all objects, as their owners see them.",
      () => store.stats().bytes,
    );
    this.#gauge("ol_registry_contents", "Different contents on the disk.", () => store.stats().blobs);
    this.#gauge("ol_registry_content_bytes", "Bytes of contents on the disk.", () => store.stats().blobBytes);
    this.#gauge("ol_registry_writable", "0 after the disk failed in a way that only a new start mends.", () =>
      Number(store.stats().writable),
    );
    this.#gauge(
      "ol_registry_uploads",
      "Multipart uploads that are neither completed nor aborted.",
      () => store.stats().uploads,
    );
    this.#gauge(
      "ol_registry_quarantined_files",
      "Files that were not what they should be, and were set aside.",
      () => store.stats().quarantined,
    );
    this.#gauge(
      "ol_registry_scrub_damaged",
      "Contents that were damaged when everything was last read again.",
      () => scrub().damaged ?? 0,
    );
    this.#gauge(
      "ol_registry_scrub_ended_timestamp_seconds",
      "When everything was last read again; 0 is never.",
      () => (scrub().endedMs ?? 0) / 1000,
    );
  }

  #gauge(name: string, help: string, value: () => number): void {
    const gauge: Gauge = new Gauge({
      name,
      help,
      registers: [this.#registry],
      collect: () => gauge.set(value()),
    });
  }

  #counter(name: string, help: string, value: () => number): void {
    const counter: Counter = new Counter({
      name,
      help,
      registers: [this.#registry],
      collect: () => {
        counter.reset();
        counter.inc(value());
      },
    });
  }
}
