/** What comes next of `iterator`; fails as soon as `signal` is aborted, however long that takes. */
const nextOf = async (
  iterator: AsyncIterator<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<IteratorResult<Uint8Array>> => {
  if (signal === undefined) return iterator.next();
  signal.throwIfAborted();
  const settled = new AbortController();
  const aborted = new Promise<never>((_resolve, reject) => {
    const options = { once: true, signal: settled.signal };
    // oxlint-disable-next-line prefer-promise-reject-errors -- the reason is whatever the caller gave
    signal.addEventListener("abort", () => reject(signal.reason), options);
  });
  try {
    return await Promise.race([iterator.next(), aborted]);
  } finally {
    settled.abort();
  }
};

/**
 * The bytes of a source in pieces of `sliceBytes`, the last one shorter, whatever the pieces that they come in. A source
 * that is not read to its end is told so; a slow one is not waited for once `signal` is aborted.
 */
export async function* slicesOf(
  source: AsyncIterable<Uint8Array>,
  sliceBytes: number,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  const iterator = source[Symbol.asyncIterator]();
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await nextOf(iterator, signal);
      if (done === true) break;
      held.push(value);
      heldBytes += value.length;
      if (heldBytes < sliceBytes) continue;
      const all = Buffer.concat(held, heldBytes);
      const whole = heldBytes - (heldBytes % sliceBytes);
      for (let at = 0; at < whole; at += sliceBytes) yield all.subarray(at, at + sliceBytes);
      held = [all.subarray(whole)];
      heldBytes -= whole;
    }
    ended = true;
    if (heldBytes > 0) yield Buffer.concat(held, heldBytes);
  } finally {
    // Not waited for: it may be in the middle of something that never ends. Why it was left is what counts.
    if (!ended) iterator.return?.().catch(() => undefined);
  }
}
