import type { WorkerHealth } from "./worker.ts";

/** Below this share of healthy workers it is likelier that checks are wrong, or that the others would break too. */
const LEAST_HEALTHY = 0.5;

/**
 * Which of the workers get calls: the healthy ones, or, if less than half are, all that are not draining (the panic rule).
 * Nobody if none is healthy.
 */
export const choosable = <One extends { readonly health: WorkerHealth }>(
  workers: readonly One[],
): { readonly workers: readonly One[]; readonly panic: boolean } => {
  const staying = workers.filter(({ health }) => health !== "draining");
  const healthy = staying.filter(({ health }) => health === "up");
  if (healthy.length === 0) return { workers: [], panic: false };
  const panic = healthy.length < staying.length * LEAST_HEALTHY;
  return { workers: panic ? staying : healthy, panic };
};
