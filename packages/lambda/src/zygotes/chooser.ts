import type { NodeId, PackageSet, PinId } from "./policy.ts";

/** A zygote that a sandbox can be forked from: it is ready, and all that may be imported in it is in the sandbox's set. */
export interface ZygoteCandidate {
  readonly id: NodeId;
  /** All that may be imported in it: its own pins and its parents'. */
  readonly mask: ReadonlySet<PinId>;
  /** What forking from it spares over forking from the root, in ms; the copying of its page tables taken off. */
  readonly worthMs: number;
  /** What it holds besides its parents, in MB. */
  readonly mb: number;
  /** Sandboxes that were forked from it. */
  readonly uses: number;
}

/**
 * Says which zygote a sandbox of this set is forked from: one of the candidates by its id, or undefined for the root, which
 * anything else counts as. Of a policy that keeps a tree it is an option; whether forking from a zygote is safe has been
 * decided before it is asked.
 */
export type ZygoteChooser = (set: PackageSet, candidates: readonly ZygoteCandidate[]) => NodeId | undefined;

/** The default: the one that spares most, if one spares anything. */
export const chooseMostSparing: ZygoteChooser = (_set, candidates) => {
  let best: NodeId | undefined;
  let bestMs = 0;
  for (const { id, worthMs } of candidates) {
    if (worthMs <= bestMs) continue;
    best = id;
    bestMs = worthMs;
  }
  return best;
};
