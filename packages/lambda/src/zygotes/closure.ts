import type { PackageSet, PinId } from "./policy.ts";

/**
 * The pin with all that it needs, directly or not: what is needed before what needs it (where they need each other, in any
 * order). What is not in the set is left out, whatever `requires` says.
 */
export const closureOf = (pin: PinId, set: PackageSet, members: ReadonlySet<PinId>): PinId[] => {
  const order: PinId[] = [];
  const seen = new Set<PinId>([pin]);
  // Not recursive: who needs whom comes from metadata of packages, and may be a long chain.
  const path: { pin: PinId; needs: Iterator<PinId> }[] = [{ pin, needs: needsOf(pin, set) }];
  for (let last = path.at(-1); last !== undefined; last = path.at(-1)) {
    const { value, done } = last.needs.next();
    if (done === true) {
      order.push(last.pin);
      path.pop();
    } else if (members.has(value) && !seen.has(value)) {
      seen.add(value);
      path.push({ pin: value, needs: needsOf(value, set) });
    }
  }
  return order;
};

const needsOf = (pin: PinId, set: PackageSet): Iterator<PinId> =>
  (set.requires.get(pin) ?? [])[Symbol.iterator]();
