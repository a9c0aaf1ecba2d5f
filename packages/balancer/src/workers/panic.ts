import type { WorkerHealth } from "./worker.ts";

/** Below this share of healthy workers it is likelier that checks are wrong, or that the others would break too. */
const LEAST_HEALTHY = 0.5;

/** What it is chosen by. */
export interface Choosable {
  readonly health: WorkerHealth;
  /** Calls can be brought to it, whether it drains or not. */
  readonly reachable: boolean;
}

/**
 * Which of the workers get calls: the healthy ones, or, if less than half are, all that are not draining (the panic rule). If none is
 * healthy, those that drain and can be reached: they serve on for a while, or say that they did not start the call, or their
 * successors listen already. Else nobody.
 */
export const choosable = <One extends Choosable>(
  workers: readonly One[],
): { readonly workers: readonly One[]; readonly panic: boolean } => {
  const staying = workers.filter(({ health }) => health !== "draining");
  const healthy = staying.filter(({ health }) => health === "up");
  if (healthy.length === 0)
    return {
      workers: workers.filter(({ health, reachable }) => health === "draining" && reachable),
      panic: false,
    };
  const panic = healthy.length < staying.length * LEAST_HEALTHY;
  return { workers: panic ? staying : healthy, panic };
};
