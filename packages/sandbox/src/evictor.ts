/** A sandbox, as an evictor sees it. */
export interface EvictableSandbox {
  readonly id: string;
  /**
   * `running`: has a call, loads its code, or its owner wants to keep it. `idle`: nobody needs it now. `paused`: the
   * same, and its processes are stopped. `resuming`: paused, but called; nothing of the call was written to it yet.
   */
  readonly state: "running" | "idle" | "paused" | "resuming";
  /** When it was last used, on any clock that is the same for all. */
  readonly usedMs: number;
  /** What comes back when it is destroyed. */
  readonly memoryMb: number;
  /** How long it took to make. */
  readonly makeMs: number;
}

/** A zygote, as an evictor sees it. */
export interface EvictableZygote {
  readonly id: string;
  /** When a sandbox or zygote was last forked from it. */
  readonly usedMs: number;
  readonly memoryMb: number;
  readonly makeMs: number;
  /** Zygotes below it, and what is being forked from it. */
  readonly children: number;
}

/** What an evictor decides from. What is being destroyed already is not in it. */
export interface EvictionSnapshot {
  /** Memory that is waited for, beyond what is free or on its way back. */
  readonly missingMb: number;
  /** Sandboxes and zygotes being made, which may be of use soon. */
  readonly making: number;
  /** The resuming sandbox whose turn it is to get memory, if it is one's. */
  readonly firstInLine: string | undefined;
  readonly sandboxes: readonly EvictableSandbox[];
  readonly zygotes: readonly EvictableZygote[];
}

/** Says what to destroy: ids of sandboxes and zygotes of the snapshot. Pure; called whenever memory is missing. */
export type Evictor = (snapshot: EvictionSnapshot) => readonly string[];

type Candidate = Pick<EvictableSandbox, "id" | "usedMs" | "memoryMb" | "makeMs">;

/** Where the default policy goes further than it does by itself. */
export interface EvictorOptions {
  /** Destroys running sandboxes, and so their calls, when nothing else is left; those used longest ago first. */
  readonly running?: boolean;
}

/**
 * The default policy: paused sandboxes first, then idle ones, then zygotes without children, each kind in the order of
 * its last use (of two as old, the one made more quickly). No more than is needed, but all of them if they are
 * not enough: who waits gets the rest as running ones become idle.
 */
export const makeEvictor =
  (options: EvictorOptions = {}): Evictor =>
  (snapshot) => {
    const inState = (state: EvictableSandbox["state"]): EvictableSandbox[] =>
      snapshot.sandboxes.filter((sandbox) => sandbox.state === state);
    const kinds: readonly (() => readonly Candidate[])[] = [
      () => inState("paused"),
      () => inState("idle"),
      () => snapshot.zygotes.filter((zygote) => zygote.children === 0),
      () => (isStuck(snapshot) ? inState("resuming").filter(({ id }) => id !== snapshot.firstInLine) : []),
      () => (options.running === true ? inState("running") : []),
    ];
    const chosen: Candidate[] = [];
    let missingMb = snapshot.missingMb;
    for (const kind of kinds) {
      if (missingMb <= 0) break;
      for (const candidate of kind().toSorted(byAge)) {
        if (missingMb <= 0) break;
        chosen.push(candidate);
        missingMb -= candidate.memoryMb;
      }
    }
    return withoutSpare(chosen, -missingMb).map(({ id }) => id);
  };

/** Paused sandboxes that were called and wait for each other's memory would do so for ever. */
const isStuck = ({ sandboxes, making }: EvictionSnapshot): boolean =>
  making === 0 && sandboxes.every(({ state }) => state !== "running");

const byAge = (one: Candidate, other: Candidate): number =>
  one.usedMs - other.usedMs || one.makeMs - other.makeMs;

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
