import type { CallPhases } from "@ol/lambda";

/**
 * Where a call's time went, as a Server-Timing header (W3C): durations in ms. What there was nothing of is left out, so that
 * a warm call has `queue` and `run`. `ended` is whether the call is over.
 */
export const serverTiming = (phases: CallPhases, ended: boolean): string => {
  let text = `queue;dur=${phases.queueMs.toFixed(2)}`;
  if (phases.memoryMs >= 0.01) text += `, memory;dur=${phases.memoryMs.toFixed(2)}`;
  if (phases.forkMs > 0) text += `, fork;dur=${phases.forkMs.toFixed(2)}`;
  if (phases.importMs > 0) text += `, import;dur=${phases.importMs.toFixed(2)}`;
  if (ended) text += `, run;dur=${phases.runMs.toFixed(2)}`;
  return text;
};
