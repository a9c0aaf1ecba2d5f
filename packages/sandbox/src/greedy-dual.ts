import { type Candidate, byAge, childless, choose, inState } from "./eviction-choice.ts";
import type { EvictionSnapshot, Evictor, EvictorOptions } from "./evictor.ts";

/** How often something had been used when it was last seen to be, and what the clock showed then. */
interface LastUse {
  readonly uses: number;
  readonly clock: number;
}

/**
 * GreedyDual-Size with frequency (Cherkasova 1998), by which FaasCache keeps sandboxes (Fuerst and Sharma, ASPLOS
 * 2021). What is worth least goes first, whether sandbox or zygote:
 *
 *     worth = clock at the last use + uses x time to make / memory
 *
 * Uses are those of all sandboxes of one name, forgotten with the last of them. The clock rises to the worth of what is
 * evicted, so that what was worth much and is used no more falls behind in time. Uses of a sandbox that came and went
 * between two snapshots are not counted.
 */
class GreedyDual {
  readonly #options: EvictorOptions;
  #clock = 0;
  /** By id; of what the last snapshot had. */
  #lastUses = new Map<string, LastUse>();
  /** By name; of what the last snapshot had. */
  #uses = new Map<string, number>();

  constructor(options: EvictorOptions) {
    this.#options = options;
  }

  choose(snapshot: EvictionSnapshot): readonly string[] {
    // The clock moves only at the end of a choice: whatever was used since the last one, was used at its present time.
    this.#note(snapshot);
    const free = [...inState(snapshot, "paused"), ...inState(snapshot, "idle"), ...childless(snapshot)];
    const order = (one: Candidate, other: Candidate): number =>
      this.#worth(one) - this.#worth(other) || byAge(one, other);
    const chosen = choose(snapshot, [free], order, this.#options);
    if (!snapshot.trial)
      for (const candidate of chosen) this.#clock = Math.max(this.#clock, this.#worth(candidate));
    return chosen.map(({ id }) => id);
  }

  #note({ sandboxes, zygotes }: EvictionSnapshot): void {
    const lastUses = new Map<string, LastUse>();
    const uses = new Map<string, number>();
    for (const sandbox of sandboxes) {
      const { id, name } = sandbox;
      const newUses = sandbox.uses - (this.#lastUses.get(id)?.uses ?? 0);
      lastUses.set(id, this.#lastUse(sandbox));
      uses.set(name, (uses.get(name) ?? this.#uses.get(name) ?? 0) + newUses);
    }
    for (const zygote of zygotes) lastUses.set(zygote.id, this.#lastUse(zygote));
    this.#lastUses = lastUses;
    this.#uses = uses;
  }

  #lastUse({ id, uses }: Candidate): LastUse {
    const known = this.#lastUses.get(id);
    return known?.uses === uses ? known : { uses, clock: this.#clock };
  }

  #worth(candidate: Candidate): number {
    const { id, makeMs, memoryMb } = candidate;
    const uses = "name" in candidate ? (this.#uses.get(candidate.name) ?? 0) : candidate.uses;
    // It was made for somebody, who may not have called yet.
    return (this.#lastUses.get(id)?.clock ?? 0) + (Math.max(1, uses) * makeMs) / memoryMb;
  }
}

/** The policy `greedyDual`, for one pool: it remembers what it saw. */
export const makeGreedyDual = (options: EvictorOptions = {}): Evictor => {
  const policy = new GreedyDual(options);
  return (snapshot) => policy.choose(snapshot);
};
