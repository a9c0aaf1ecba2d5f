/** So many requests at once are quick, and leave a store to others. */
const AT_ONCE = 8;

/** Maps the items in order, a few at a time. The first failure is the whole's; nothing is begun after it. */
export const inParallel = async <Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> => {
  const results: Result[] = [];
  const waiting = items.entries();
  let failed = false;
  const one = async (): Promise<void> => {
    for (const [index, item] of waiting) {
      if (failed) return;
      try {
        results[index] = await work(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, () => one()));
  return results;
};
