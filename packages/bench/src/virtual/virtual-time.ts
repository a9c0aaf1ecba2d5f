import { VirtualClock } from "@ol/balancer";

/** Node's own, from before anybody stands in for it. */
const nextTurn = setImmediate;

/** Where the calendar stands when virtual time begins: the same for every run. */
const EPOCH_MS = Date.UTC(2026, 0, 1);
/** As node has it: longer is an overflow, shorter is 1. */
const MOST_TIMER_MS = 2 ** 31 - 1;
/** So many events at one moment are events that cause each other without end. */
const MOST_EVENTS = 1_000_000;

const INSTALLED = Symbol("virtual time");

type Callback = (...values: unknown[]) => void;

/** What node's functions return; nothing keeps a process alive here. */
class VirtualTimer {
  cancel: () => void = () => undefined;

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  hasRef(): boolean {
    return false;
  }
}

/**
 * The clock of this thread while it is installed: what @ol/lambda, @ol/sandbox and @ol/balancer take from the globals (timers, immediates,
 * `performance.now`, `Date.now`, `AbortSignal.timeout`) is then this clock's. It stands still while something is to be done. One timer or
 * immediate runs after another, in the order of their times, each with all the promises that it settles: so the same program does the same
 * on every machine. Timers of node's own modules (sockets, `node:timers/promises`) stay real, so nothing that is simulated may use them.
 */
export class VirtualTime implements Disposable {
  readonly #clock = new VirtualClock();
  readonly #immediates: (() => void)[] = [];
  readonly #undo: readonly (() => void)[];

  /** Only one at a time in each thread: throws if there is one already. */
  constructor() {
    if (INSTALLED in globalThis) throw new Error("this thread's time is virtual already");
    this.#undo = [
      replace(globalThis, INSTALLED, true),
      replace(globalThis, "setTimeout", this.#setTimeout),
      replace(globalThis, "clearTimeout", clear),
      replace(globalThis, "setInterval", this.#setInterval),
      replace(globalThis, "clearInterval", clear),
      replace(globalThis, "setImmediate", this.#setImmediate),
      replace(globalThis, "clearImmediate", clear),
      replace(performance, "now", () => this.nowMs),
      replace(Date, "now", () => EPOCH_MS + Math.floor(this.nowMs)),
      replace(AbortSignal, "timeout", this.#abortAfter),
    ];
  }

  /** In ms since it was installed. */
  get nowMs(): number {
    return this.#clock.nowMs();
  }

  /** Calls back once after exactly `ms`, which need not be whole; returns what prevents that. */
  after(ms: number, callback: () => void): () => void {
    return this.#clock.after(ms, callback);
  }

  /** Settles after so many ms. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.after(ms, resolve));
  }

  /** Lets everything happen until `done` has settled, or until then; whether it has settled. Rejects as it does. */
  async run(done: Promise<unknown>, untilMs: number): Promise<boolean> {
    const ending: { failed?: { readonly error: unknown }; over: boolean } = { over: false };
    done.then(
      () => (ending.over = true),
      (error: unknown) => Object.assign(ending, { over: true, failed: { error } }),
    );
    await turn();
    let events = 0;
    while (!ending.over) {
      const beforeMs = this.nowMs;
      if (!this.#step(untilMs)) break;
      events = this.nowMs === beforeMs ? events + 1 : 0;
      if (events > MOST_EVENTS) throw new Error(`${MOST_EVENTS} events at one moment, ${beforeMs} ms`);
      await turn();
    }
    if (ending.failed !== undefined) throw ending.failed.error;
    return ending.over;
  }

  /** Gives everything back as it was. What is still set never happens. */
  [Symbol.dispose](): void {
    for (const undo of this.#undo) undo();
  }

  /** Lets one thing happen; false if there is nothing until then. */
  #step(untilMs: number): boolean {
    const immediate = this.#immediates.shift();
    if (immediate === undefined) return this.#clock.step(untilMs);
    immediate();
    return true;
  }

  readonly #setTimeout = (callback: Callback, ms?: number, ...values: unknown[]): VirtualTimer => {
    const timer = new VirtualTimer();
    timer.cancel = this.after(wholeMs(ms), () => callback(...values));
    return timer;
  };

  readonly #setInterval = (callback: Callback, ms?: number, ...values: unknown[]): VirtualTimer => {
    const timer = new VirtualTimer();
    const set = (): void => {
      timer.cancel = this.after(wholeMs(ms), () => {
        set();
        callback(...values);
      });
    };
    set();
    return timer;
  };

  readonly #setImmediate = (callback: Callback, ...values: unknown[]): VirtualTimer => {
    const timer = new VirtualTimer();
    let cancelled = false;
    timer.cancel = () => (cancelled = true);
    this.#immediates.push(() => {
      if (!cancelled) callback(...values);
    });
    return timer;
  };

  readonly #abortAfter = (ms: number): AbortSignal => {
    const controller = new AbortController();
    this.after(ms, () => controller.abort(new DOMException("The operation timed out.", "TimeoutError")));
    return controller.signal;
  };
}

/** After all promises that can be settled without anything else happening. */
const turn = (): Promise<void> => new Promise((resolve) => void nextTurn(resolve));

const wholeMs = (ms: number | undefined): number => {
  const whole = Math.trunc(Number(ms));
  return whole >= 1 && whole <= MOST_TIMER_MS ? whole : 1;
};

const clear = (timer: unknown): void => {
  if (timer instanceof VirtualTimer) timer.cancel();
};

/** Returns what puts the property back. */
const replace = (target: object, name: string | symbol, value: unknown): (() => void) => {
  const before = Object.getOwnPropertyDescriptor(target, name);
  Object.defineProperty(target, name, { value, configurable: true, writable: true });
  return () => {
    if (before === undefined) Reflect.deleteProperty(target, name);
    else Object.defineProperty(target, name, before);
  };
};
