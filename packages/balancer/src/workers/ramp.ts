const RAMP_MS = 10_000;
const FIRST_SHARE = 0.25;

/** How many of its slots a worker is given that came (back) `sinceMs` ago: a quarter at first, all after 10 s. At least 1. */
export const rampedSlots = (slots: number, sinceMs: number): number => {
  if (sinceMs >= RAMP_MS) return slots;
  return Math.max(1, Math.ceil(slots * (FIRST_SHARE + (1 - FIRST_SHARE) * (sinceMs / RAMP_MS))));
};

/** Whether it is given fewer than it has. */
export const isRamping = (sinceMs: number): boolean => sinceMs < RAMP_MS;
