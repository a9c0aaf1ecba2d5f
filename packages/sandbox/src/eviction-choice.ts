import type { EvictableSandbox, EvictableZygote, EvictionSnapshot, EvictorOptions } from "./evictor.ts";

/** What may be chosen. */
export type Candidate = EvictableSandbox | EvictableZygote;

/** Negative if the one goes before the other. */
export type Order = (one: Candidate, other: Candidate) => number;

/** The sandboxes in a state. */
export const inState = (
  { sandboxes }: EvictionSnapshot,
  state: EvictableSandbox["state"],
): readonly EvictableSandbox[] => sandboxes.filter((sandbox) => sandbox.state === state);

/** The zygotes on which nothing depends. */
export const childless = ({ zygotes }: EvictionSnapshot): readonly EvictableZygote[] =>
  zygotes.filter(({ children }) => children === 0);

/** Those used longest ago first; of two as old the one that is made again more quickly. */
export const byAge: Order = (one, other) => one.usedMs - other.usedMs || one.makeMs - other.makeMs;

/**
 * Chooses what goes: of `kinds`, things that nobody needs, all of the first before any of the second, each kind in
 * `order`. Behind them, whatever the policy: all but the first of paused ones that wait for each other's memory, and
 * running ones where `options` says so. No more than is needed, but all of them if they are not enough: who waits gets
 * the rest as running ones become idle.
 */
export const choose = (
  snapshot: EvictionSnapshot,
  kinds: readonly (readonly Candidate[])[],
  order: Order,
  options: EvictorOptions,
): readonly Candidate[] => {
  const chosen: Candidate[] = [];
  let { missingMb } = snapshot;
  for (const kind of [
    ...kinds,
    stuck(snapshot),
    options.running === true ? inState(snapshot, "running") : [],
  ]) {
    if (missingMb <= 0) break;
    for (const candidate of kind.toSorted(order)) {
      if (missingMb <= 0) break;
      chosen.push(candidate);
      missingMb -= candidate.memoryMb;
    }
  }
  return withoutSpare(chosen, -missingMb);
};

/** Paused sandboxes that were called and wait for each other's memory would do so for ever. */
const stuck = (snapshot: EvictionSnapshot): readonly Candidate[] =>
  snapshot.making === 0 && snapshot.sandboxes.every(({ state }) => state !== "running")
    ? inState(snapshot, "resuming").filter(({ id }) => id !== snapshot.firstInLine)
    : [];

/** Spares those chosen last that turned out not to be needed, because a larger one followed. */
const withoutSpare = (chosen: readonly Candidate[], tooMuchMb: number): readonly Candidate[] => {
  let spareMb = tooMuchMb;
  return chosen
    .toReversed()
    .filter(({ memoryMb }) => {
      if (memoryMb > spareMb) return true;
      spareMb -= memoryMb;
      return false;
    })
    .toReversed();
};
