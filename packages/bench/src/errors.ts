import { type ErrorFactory, errorFactory } from "@ol/common";

/** Every error of ol-bench. */
export const BENCH_ERRORS = {
  OL_BENCH_USAGE: {
    causedBy: "user",
    status: 400,
    about: "The command line is wrong; `ol-bench --help` shows what it takes.",
  },
  OL_BENCH_BASELINE_CHANGED: {
    causedBy: "user",
    status: 500,
    about:
      "A file in packages/bench/baselines is not the one whose hash is recorded, so ratios could not be compared with earlier ones; restore it.",
  },
  OL_BENCH_HELPER_FAILED: {
    causedBy: "system",
    status: 500,
    about: "A process that the benchmark needs did not start, ended early or did not answer in time.",
  },
  OL_BENCH_WRONG_REPLY: {
    causedBy: "system",
    status: 500,
    about: "A measured call answered something else than it should have, so its time means nothing.",
  },
  OL_BENCH_SIMULATION_FAILED: {
    causedBy: "system",
    status: 500,
    about: "A run in virtual time did not come to its end, so there are no figures; the message says why.",
  },
  OL_BENCH_SIMULATION_WRONG: {
    causedBy: "system",
    status: 500,
    about:
      "The simulator differs from the real worker by more than it may; the message says where. On a machine that does other things meanwhile that means nothing.",
  },
} as const;

export type BenchErrorCode = keyof typeof BENCH_ERRORS;
export const benchError: ErrorFactory<typeof BENCH_ERRORS> = errorFactory(BENCH_ERRORS);
