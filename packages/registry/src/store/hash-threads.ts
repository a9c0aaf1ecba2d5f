import { Worker } from "node:worker_threads";

import type { Computed } from "./checksums.ts";

/** What a thread is told. `open` begins a job, `update` adds the beginning of a block to it, `digest` and `close` end it. */
export type ThreadRequest =
  | { readonly job: number; readonly verb: "open"; readonly kinds: readonly Computed[] }
  | {
      readonly job: number;
      readonly verb: "update";
      readonly block: SharedArrayBuffer;
      readonly length: number;
    }
  | { readonly job: number; readonly verb: "digest" | "close" };

/** Checksums of one body that are computed in another thread. */
export interface HashJob {
  /** Resolves when the thread has read that much of the block. They may be under way at once, and count in order. */
  update(block: SharedArrayBuffer, length: number): Promise<void>;
  /** In base64; ends the job. */
  digest(): Promise<readonly (readonly [Computed, string])[]>;
  /** Ends the job if it is not ended; to be called in any case. */
  close(): void;
}

/**
 * How many threads there may be. One body keeps two busy, one with MD5, which takes more time than all else that is done with a
 * body, and one with the rest; more bodies at once gain from more only where there are cores for them.
 */
const MOST_THREADS = 4;

/** The program of a thread. It is always the built one: Node 20 can start no thread from TypeScript. */
const PROGRAM = new URL("../../dist/store/hash-thread.js", import.meta.url);

/** Threads that compute checksums, started when they are first needed. Without a job they do not keep the process alive. */
export class HashThreads {
  readonly #threads: HashThread[] = [];
  readonly #most: number;
  #closed = false;

  constructor(cores: number) {
    this.#most = Math.min(Math.max(cores, 2), MOST_THREADS);
  }

  /** A job in the thread that has the fewest. */
  open(kinds: readonly Computed[]): HashJob {
    if (this.#closed) throw new Error("the threads are closed");
    return this.#idlest().open(kinds);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#threads.splice(0).map((thread) => thread.end()));
  }

  #idlest(): HashThread {
    const idlest = this.#threads.toSorted((a, b) => a.jobs - b.jobs)[0];
    if (idlest !== undefined && (idlest.jobs === 0 || this.#threads.length >= this.#most)) return idlest;
    const thread = new HashThread(PROGRAM, () => {
      const place = this.#threads.indexOf(thread);
      if (place !== -1) this.#threads.splice(place, 1);
    });
    this.#threads.push(thread);
    return thread;
  }
}

interface Asked {
  readonly resolve: (values: readonly (readonly [Computed, string])[]) => void;
  readonly reject: (error: unknown) => void;
}

class HashThread {
  readonly #worker: Worker;
  /** Those who wait for answers, of each job in the order of their questions. */
  readonly #asked = new Map<number, Asked[]>();
  #nextJob = 0;
  #failed: Error | undefined;

  /** `gone` is called when the thread has ended by itself. */
  constructor(program: URL, gone: () => void) {
    this.#worker = new Worker(program);
    this.#worker.unref();
    this.#worker.on("message", (answer: { job: number; values: readonly (readonly [Computed, string])[] }) =>
      this.#asked.get(answer.job)?.shift()?.resolve(answer.values),
    );
    const fail = (error: Error): void => {
      this.#failed ??= error;
      gone();
      for (const asked of this.#asked.values()) for (const each of asked.splice(0)) each.reject(this.#failed);
    };
    this.#worker.on("error", fail);
    this.#worker.on("exit", () => fail(new Error("the thread that computes checksums has ended")));
  }

  get jobs(): number {
    return this.#asked.size;
  }

  open(kinds: readonly Computed[]): HashJob {
    const job = (this.#nextJob += 1);
    this.#asked.set(job, []);
    this.#worker.ref();
    const opened = this.#ask({ job, verb: "open", kinds });
    // Who asks next hears of it.
    opened.catch(() => undefined);
    return {
      update: async (block, length) => {
        await this.#ask({ job, verb: "update", block, length });
      },
      digest: async () => {
        const values = await this.#ask({ job, verb: "digest" });
        this.#forget(job);
        return values;
      },
      close: () => {
        if (this.#forget(job)) this.#worker.postMessage({ job, verb: "close" });
      },
    };
  }

  #forget(job: number): boolean {
    const known = this.#asked.delete(job);
    if (this.#asked.size === 0) this.#worker.unref();
    return known;
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #ask(request: ThreadRequest): Promise<readonly (readonly [Computed, string])[]> {
    return new Promise((resolve, reject) => {
      const asked = this.#asked.get(request.job);
      if (asked === undefined || this.#failed !== undefined) {
        reject(this.#failed ?? new Error(`job ${request.job} is over`));
        return;
      }
      asked.push({ resolve, reject });
      this.#worker.postMessage(request);
    });
  }
}
