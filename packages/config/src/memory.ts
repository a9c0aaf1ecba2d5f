import { totalmem } from "node:os";

const MIB = 1024 * 1024;
/** What the operating system, the worker and its zygotes are left. */
const RESERVED_MB = 1024;
/** Less could not hold a single sandbox of default size. */
const MINIMUM_MB = 64;

/** Memory that this process may use, in MiB: the machine's, or what its cgroup allows. */
export const usableMemoryMb = (): number => {
  // 0 or a number beyond the machine's memory means that no limit is set.
  const constrained = process.constrainedMemory();
  const total = totalmem();
  return Math.floor((constrained > 0 && constrained < total ? constrained : total) / MIB);
};

/**
 * `mem_pool_mb` of one of `workers` workers on a machine: an equal share of all but 1 GiB. On a machine of less
 * than 2 GiB that would leave little or nothing, so half of it is shared there.
 */
export const defaultMemPoolMb = (totalMb: number, workers: number): number =>
  Math.max(MINIMUM_MB, Math.floor(Math.max(totalMb - RESERVED_MB, totalMb / 2) / workers));
