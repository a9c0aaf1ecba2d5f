/** What forking costs more for each MB that the zygote holds: page tables are copied. Measured. */
export const FORK_MS_PER_MB = 0.04;

/** The broker nests zygotes no deeper (MOST_DEPTH in ol_host/nursery.py). */
export const MOST_DEPTH = 25;

/** What a zygote holds besides what it imports: a process with pages of its own, page tables, and its init. Measured. */
export const LEAST_NODE_MB = 6.5;

/** The least that zygotes may hold together, whatever the machine has. */
export const LEAST_BUDGET_MB = 128;

/** Longer imports and larger packages than these are not believed, nor worth a zygote. */
export const MOST_MS = 60_000;
export const MOST_MB = 4_096;

/** A number between 0 and `most`; what is none counts as 0. */
export const clamp = (value: unknown, most: number): number =>
  typeof value === "number" && value > 0 ? Math.min(value, most) : 0;
