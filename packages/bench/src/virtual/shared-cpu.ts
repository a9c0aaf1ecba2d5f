/** What the CPU of a machine is. */
export interface CpuOptions {
  readonly cores: number;
  /**
   * What each core adds that is busy besides the first, from 0 to 1: less than 1 where cores are threads of one core, or share a memory that
   * is too slow for both. Default 1.
   */
  readonly efficiency?: number;
}

/** As much of a clock as the CPU needs. */
export interface CpuTime {
  readonly nowMs: number;
  after(ms: number, callback: () => void): () => void;
}

interface Job {
  leftMs: number;
  readonly done: () => void;
}

/** Work below this is none: sums of fractions never come out even. */
const NONE_MS = 1e-6;

/**
 * The CPU of one machine: everybody who has work gets the same share of its cores, and nobody more than one core (processor sharing). That is
 * what a fair scheduler does to processes of one thread, but for its slices.
 */
export class SharedCpu {
  readonly #time: CpuTime;
  readonly cores: number;
  readonly #efficiency: number;
  readonly #jobs = new Set<Job>();
  #sinceMs = 0;
  #busyMs = 0;
  #cancel: (() => void) | undefined;

  constructor(time: CpuTime, { cores, efficiency = 1 }: CpuOptions) {
    this.#time = time;
    this.cores = cores;
    this.#efficiency = efficiency;
  }

  /** Jobs that have work now. */
  get jobs(): number {
    return this.#jobs.size;
  }

  /** CPU time that jobs have had so far, in ms. */
  get usedMs(): number {
    this.#advance();
    return this.#busyMs;
  }

  /** Settles when so much CPU time was spent on it; also when the signal says that nobody wants it any more. */
  run(ms: number, signal?: AbortSignal): Promise<void> {
    if (!(ms > 0) || signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      this.#advance();
      const job: Job = {
        leftMs: ms,
        done: () => {
          this.#jobs.delete(job);
          signal?.removeEventListener("abort", stop);
          resolve();
        },
      };
      const stop = (): void => {
        this.#advance();
        job.done();
        this.#plan();
      };
      signal?.addEventListener("abort", stop);
      this.#jobs.add(job);
      this.#plan();
    });
  }

  /** Of one core, what each job has. */
  get #rate(): number {
    const jobs = this.#jobs.size;
    if (jobs === 0) return 0;
    const busy = Math.min(jobs, this.cores);
    const power = busy <= 1 ? busy : 1 + (busy - 1) * this.#efficiency;
    return Math.min(power / jobs, 1);
  }

  #advance(): void {
    const passedMs = this.#time.nowMs - this.#sinceMs;
    this.#sinceMs = this.#time.nowMs;
    const workMs = passedMs * this.#rate;
    for (const job of this.#jobs) job.leftMs -= workMs;
    this.#busyMs += workMs * this.#jobs.size;
  }

  /** Wakes up when the next job will have what it needs. */
  #plan(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    let leastMs = Number.POSITIVE_INFINITY;
    for (const { leftMs } of this.#jobs) leastMs = Math.min(leastMs, leftMs);
    if (leastMs === Number.POSITIVE_INFINITY) return;
    this.#cancel = this.#time.after(Math.max(leastMs, 0) / this.#rate, () => this.#look());
  }

  #look(): void {
    this.#cancel = undefined;
    this.#advance();
    for (const job of this.#jobs) if (job.leftMs <= NONE_MS) job.done();
    this.#plan();
  }
}

/** A process of one thread: what it is asked to do it does one after the other, on the machine's CPU. */
export class OneThread {
  readonly #cpu: SharedCpu;
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(cpu: SharedCpu) {
    this.#cpu = cpu;
  }

  /** Jobs that are not done. */
  get jobs(): number {
    return this.#waiting;
  }

  /** Settles when it is done, and what was asked for before. What the signal says is wanted no more takes no time. */
  run(ms: number, signal?: AbortSignal): Promise<void> {
    if (!(ms > 0)) return this.#waiting === 0 ? Promise.resolve() : this.#last;
    this.#waiting += 1;
    const done = this.#last.then(() => this.#cpu.run(ms, signal)).then(() => void (this.#waiting -= 1));
    this.#last = done;
    return done;
  }
}
