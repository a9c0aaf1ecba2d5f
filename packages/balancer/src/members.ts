import { idOf } from "./membership/address.ts";
import type { ResolvedOptions, WorkerAddress } from "./options.ts";
import type { WorkerTable } from "./workers/table.ts";
import { WorkerWatch } from "./workers/watch.ts";
import type { Worker } from "./workers/worker.ts";

/** As long as a registration is good for: whoever is there has registered by then. */
const SETTLING_MS = 10_000;

/** Brings what lists and registrations say into the table, and has each worker watched as long as it is there. */
export class Members {
  readonly #table: WorkerTable;
  readonly #options: ResolvedOptions;
  /** What each source says last; the list that never changes comes first. */
  readonly #told: (readonly WorkerAddress[])[];
  readonly #watches = new Map<string, WorkerWatch>();
  readonly #sinceMs: number;
  #closed = false;

  constructor(table: WorkerTable, options: ResolvedOptions) {
    this.#table = table;
    this.#options = options;
    this.#sinceMs = options.clock.nowMs();
    this.#told = [options.workers, ...options.memberships.map(() => [])];
  }

  /** Settles once each source has told whom it knows of at the start. */
  async start(): Promise<void> {
    this.#update();
    const starts = this.#options.memberships.map((membership, at) =>
      membership.start((workers) => {
        if (this.#closed) return;
        this.#told[at + 1] = workers;
        this.#update();
      }),
    );
    await Promise.all(starts);
  }

  /** Has a worker asked for its state soon. */
  askSoon({ id }: Worker): void {
    this.#watches.get(id)?.soon();
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const watch of this.#watches.values()) watch.stop();
    this.#watches.clear();
    await Promise.all(this.#options.memberships.map((membership) => membership.close()));
  }

  #update(): void {
    // Who registers in the first moments has been there before the balancer was.
    const established = this.#options.clock.nowMs() - this.#sinceMs < SETTLING_MS;
    const wanted = new Map<string, WorkerAddress>();
    // Of two with one id the first source's counts.
    for (const workers of this.#told)
      for (const address of workers) if (!wanted.has(idOf(address))) wanted.set(idOf(address), address);
    for (const worker of this.#table.workers.values())
      if (new URL(wanted.get(worker.id)?.url ?? "none:").href !== worker.url.href) this.#remove(worker);
    for (const [id, address] of wanted) if (!this.#table.workers.has(id)) this.#add(address, established);
  }

  #add(address: WorkerAddress, established: boolean): void {
    const { probe, clock, logger, watch } = this.#options;
    const worker = this.#table.add(address, established);
    logger.info("a worker joins", { worker: worker.id, url: worker.url.href });
    if (watch)
      this.#watches.set(worker.id, new WorkerWatch({ worker, table: this.#table, probe, clock, logger }));
  }

  #remove(worker: Worker): void {
    this.#watches.get(worker.id)?.stop();
    this.#watches.delete(worker.id);
    this.#table.remove(worker.id);
    this.#options.logger.info("a worker leaves", { worker: worker.id });
  }
}
