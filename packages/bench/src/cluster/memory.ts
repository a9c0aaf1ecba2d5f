import { LEAST_BUDGET_MB } from "@ol/lambda";

/** What a worker's memory is for. */
export interface WorkerMemory {
  readonly memoryMb: number;
  /** Sandboxes that it holds besides the zygotes. */
  readonly sandboxes: number;
  readonly zygotesMb: number;
}

/** A worker gives zygotes a tenth of its memory: for each MB of theirs there are so many for sandboxes. */
const SANDBOXES_TO_ZYGOTES = 9;

/** Memory for so many sandboxes and for zygotes. Also where that are few, all slots can be busy. */
export const memoryFor = (
  wanted: number,
  { slots, sandboxMb }: { readonly slots: number; readonly sandboxMb: number },
): WorkerMemory => {
  const sandboxes = Math.max(Math.round(wanted), slots + 1);
  const sandboxesMb = sandboxes * sandboxMb;
  const zygotesMb = Math.max(LEAST_BUDGET_MB, Math.round(sandboxesMb / SANDBOXES_TO_ZYGOTES));
  return { memoryMb: sandboxesMb + zygotesMb, sandboxes, zygotesMb };
};
