/**
 * What `source` gives, until the signal: then it throws the signal's reason, although the source may be waiting for something that
 * never comes. The source is told that nobody reads on, but not waited for.
 */
export async function* untilAborted<Item>(
  source: AsyncIterable<Item>,
  signal: AbortSignal,
): AsyncGenerator<Item, void> {
  const iterator = source[Symbol.asyncIterator]();
  let refuse: ((reason: unknown) => void) | undefined;
  const abort = (): void => refuse?.(signal.reason);
  signal.addEventListener("abort", abort);
  let ended = false;
  try {
    for (;;) {
      signal.throwIfAborted();
      const step = await new Promise<IteratorResult<Item, unknown>>((resolve, reject) => {
        refuse = reject;
        iterator.next().then(resolve, reject);
      });
      if (step.done === true) {
        ended = true;
        return;
      }
      yield step.value;
    }
  } finally {
    signal.removeEventListener("abort", abort);
    // Whoever gave up on it has a reason already; that it fails to end tells nothing new.
    if (!ended) iterator.return?.()?.then(undefined, () => undefined);
  }
}
