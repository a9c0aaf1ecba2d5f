import type { EvictableSandbox, EvictableZygote, EvictionSnapshot, Evictor } from "../../src/evictor.ts";

export const sandbox = (
  id: string,
  state: EvictableSandbox["state"],
  usedMs: number,
  more: Partial<EvictableSandbox> = {},
): EvictableSandbox => ({ id, name: id, state, usedMs, uses: 0, memoryMb: 50, makeMs: 1, ...more });

export const zygote = (
  id: string,
  usedMs: number,
  children = 0,
  more: Partial<EvictableZygote> = {},
): EvictableZygote => ({ id, usedMs, uses: 0, memoryMb: 50, makeMs: 100, children, ...more });

export const snapshot = (missingMb: number, more: Partial<EvictionSnapshot> = {}): EvictionSnapshot => ({
  missingMb,
  trial: false,
  making: 0,
  firstInLine: undefined,
  sandboxes: [],
  zygotes: [],
  ...more,
});

/** A lambda of a made-up load. */
export interface TracedLambda {
  readonly name: string;
  readonly makeMs: number;
  readonly memoryMb: number;
}

/** What a trace cost. */
export interface TraceCost {
  /** Calls that found no sandbox of their lambda. */
  readonly coldStarts: number;
  /** What those waited for their sandboxes, together. */
  readonly coldMs: number;
}

/**
 * Plays calls one after the other, each over before the next one comes, in `totalMb` of memory; a sandbox stays idle
 * until the evictor names it. What no trace may show, a wrong choice, is thrown.
 */
export const playTrace = (trace: readonly TracedLambda[], totalMb: number, evictor: Evictor): TraceCost => {
  const idle = new Map<string, EvictableSandbox>();
  let [coldStarts, coldMs] = [0, 0];
  for (const [at, { name, makeMs, memoryMb }] of trace.entries()) {
    let one = [...idle.values()].find((each) => each.name === name);
    if (one === undefined) {
      const usedMb = [...idle.values()].reduce((sum, each) => sum + each.memoryMb, 0);
      const missingMb = usedMb + memoryMb - totalMb;
      if (missingMb > 0)
        for (const id of evictor(snapshot(missingMb, { sandboxes: [...idle.values()] })))
          if (!idle.delete(id)) throw new Error(`${id} is not there`);
      one = sandbox(`${name}-${at}`, "idle", at, { name, makeMs, memoryMb });
      coldStarts += 1;
      coldMs += makeMs;
    }
    idle.set(one.id, { ...one, usedMs: at, uses: one.uses + 1 });
  }
  return { coldStarts, coldMs };
};
