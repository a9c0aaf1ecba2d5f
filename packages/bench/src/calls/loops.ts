/** Something that is to be done at a moment. */
export interface Due<T> {
  /** On the clock of `performance.now()`. */
  readonly dueMs: number;
  readonly item: T;
}

/** A client that was refused comes again after this time. */
export const REFUSED_MS = 100;

/** On the thread's clock, which may be a virtual one: node:timers keeps to the machine's. */
export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A timer that is set for longer, some 24 days, goes off at once. */
const MOST_SLEEP_MS = 2 ** 31 - 1;

/**
 * Does each when it is due, whether or not the others are done. What `act` measures counts from `dueMs`: if something could not be begun
 * then, that is part of what it waited, so that a server that stalls is seen by all that it kept waiting and not only by those that
 * were on their way (which is called coordinated omission). Settles when all are done; `act` should not reject.
 */
export const openLoop = async <T>(
  dues: Iterable<Due<T>>,
  act: (item: T, dueMs: number) => Promise<unknown>,
): Promise<void> => {
  const doing = new Set<Promise<unknown>>();
  for (const { item, dueMs } of dues) {
    for (let earlyMs = dueMs - performance.now(); earlyMs > 0; earlyMs = dueMs - performance.now())
      await sleep(Math.min(earlyMs, MOST_SLEEP_MS));
    const done = act(item, dueMs).finally(() => doing.delete(done));
    doing.add(done);
  }
  await Promise.all(doing);
};

/** So many clients, each of which takes the next when its last is done: who is slow is asked less often. */
export const closedLoop = async <T>(
  clients: number,
  items: Iterable<T>,
  act: (item: T) => Promise<unknown>,
): Promise<void> => {
  const iterator = items[Symbol.iterator]();
  const client = async (): Promise<void> => {
    for (let next = iterator.next(); next.done !== true; next = iterator.next()) await act(next.value);
  };
  await Promise.all(Array.from({ length: clients }, client));
};
