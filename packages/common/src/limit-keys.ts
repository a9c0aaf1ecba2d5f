import type { LambdaLimits } from "./limits.ts";

/** How one limit is called in template.json and ol.yaml, its range and what it means. */
export interface LimitKey {
  /** The key under `limits`. */
  readonly key: string;
  /** The field of LambdaLimits. */
  readonly field: keyof LambdaLimits;
  readonly integer: boolean;
  readonly minimum: number;
  readonly maximum: number;
  readonly default: number;
  /** One sentence for the reference. */
  readonly about: string;
}

const TIB_IN_MIB = 1024 * 1024;

/** Every limit, in the order in which they are documented. The worker's configuration and ol.yaml share them. */
export const LIMIT_KEYS: readonly LimitKey[] = [
  {
    key: "procs",
    field: "procs",
    integer: true,
    minimum: 1,
    maximum: 32_768,
    default: 10,
    about: "Processes and threads of one sandbox, the lambda's own included.",
  },
  {
    key: "mem_mb",
    field: "memoryMb",
    integer: true,
    minimum: 8,
    maximum: TIB_IN_MIB,
    default: 50,
    about: "Memory of one sandbox in MiB. A lambda that needs more is killed and its call answered with 502.",
  },
  {
    key: "cpu_percent",
    field: "cpuPercent",
    integer: true,
    minimum: 1,
    maximum: 100_000,
    default: 100,
    about: "CPU time of one sandbox in per cent of one CPU; 200 is two CPUs.",
  },
  {
    key: "swappiness",
    field: "swappiness",
    integer: true,
    minimum: 0,
    maximum: 100,
    default: 0,
    about:
      "How readily a sandbox's memory is swapped out, 0 to 100; 0 is never. cgroup v2 knows only 0 and not 0.",
  },
  {
    key: "runtime_sec",
    field: "runtimeSec",
    integer: false,
    minimum: 0.1,
    maximum: 86_400,
    default: 30,
    about:
      "How long one call may run, in seconds. After that it is answered with 504 and its sandbox destroyed.",
  },
  {
    key: "body_mb",
    field: "bodyMb",
    integer: false,
    minimum: 0.001,
    maximum: 1024,
    default: 6,
    about: "The largest request body of a function, in MiB. A larger one is answered with 413.",
  },
  {
    key: "log_mb",
    field: "logMb",
    integer: false,
    minimum: 0.001,
    maximum: 1024,
    default: 8,
    about: "What is kept of one sandbox's stdout and stderr, in MiB.",
  },
  {
    key: "scratch_mb",
    field: "scratchMb",
    integer: true,
    minimum: 1,
    maximum: TIB_IN_MIB,
    default: 256,
    about: "What a sandbox may have in all files in /host together, in MiB, and the largest single file.",
  },
];

/** Limits by field from the value each key has, or its default. */
export const limitsOrDefaults = (values: Readonly<Partial<LambdaLimits>>): LambdaLimits => {
  const limits = Object.fromEntries(
    LIMIT_KEYS.map((limit) => [limit.field, values[limit.field] ?? limit.default]),
  );
  return limits as unknown as LambdaLimits;
};
