import type { CallPattern } from "../virtual/call-pattern.ts";

/** One workload that is played to a real worker and in virtual time. */
export interface TrialWorkload {
  readonly label: string;
  readonly calls: CallPattern;
  /** The worker has memory for so large a share of the lambdas. */
  readonly memoryShare: number;
  readonly warmupMs: number;
  readonly measureMs: number;
}

export interface TrialSize {
  readonly slots: number;
  readonly measureMs: number;
}

const CLIENTS_PER_SLOT = 4;
const FOR_ALL = 2;
const SHORT = 0.333;
const BURST = 20;
/** So many bursts are measured, further apart than what each sets off takes, if there is time for that. */
const BURSTS = 15;
const LEAST_BURST_MS = 1_000;

/** What the parameters are fitted on: several clients that import all the time, for a worker that can keep hardly anything. */
export const contended = ({ slots, measureMs }: TrialSize): TrialWorkload => ({
  label: "fitted: all lambdas in turn, as many at once as there are slots, memory for few",
  calls: { kind: "closed", clients: slots, draw: { by: "turns", times: 1 } },
  memoryShare: 0,
  warmupMs: 2_000,
  measureMs,
});

/** What the simulator is judged by. */
export const workloadsFor = ({ slots, measureMs }: TrialSize): readonly TrialWorkload[] => {
  const burstMs = Math.max(measureMs / BURSTS, LEAST_BURST_MS);
  return [
    {
      // From its first call on: later there is nothing to be made.
      label: "closed loop at saturation",
      calls: { kind: "closed", clients: CLIENTS_PER_SLOT * slots, draw: { by: "popularity", skew: 1 } },
      memoryShare: FOR_ALL,
      warmupMs: 0,
      measureMs,
    },
    {
      label: "Zipf, short of memory",
      calls: { kind: "closed", clients: 2 * slots, draw: { by: "popularity", skew: 1 } },
      memoryShare: SHORT,
      warmupMs: measureMs / 3,
      measureMs,
    },
    {
      label: `bursts of ${BURST}`,
      calls: {
        kind: "open",
        perSec: (BURST * 1_000) / burstMs,
        draw: { by: "bursts", skew: 1, size: BURST },
      },
      memoryShare: SHORT,
      warmupMs: 2 * burstMs,
      measureMs,
    },
  ];
};
