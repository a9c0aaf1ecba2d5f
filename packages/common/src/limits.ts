/**
 * Which network a sandbox has. `host`: the machine's own. `outbound`: the machine's own, but without a way to the
 * machine's own addresses, loopback among them. `none`: a namespace of its own with only a loopback interface in it.
 */
export type NetworkClass = "host" | "outbound" | "none";

/** What one sandbox may use. What of it a machine can enforce, `ol-admin doctor` says. */
export interface SandboxLimits {
  /**
   * Memory in MiB, everything the sandbox's processes hold together. At the limit: the sandbox is killed, and its calls fail
   * with OL_SANDBOX_OUT_OF_MEMORY.
   */
  readonly memoryMb: number;
  /**
   * Share of the memory limit that may be swapped, 0 to 100; cgroup v2 knows only 0 and not 0. At the limit: what is not
   * swapped counts as memory.
   */
  readonly swappiness: number;
  /** Processes and threads. At the limit: starting one more fails in the sandbox, with EAGAIN. */
  readonly procs: number;
  /** CPU time in per cent of one CPU; 200 is two CPUs. At the limit: its processes run more slowly. */
  readonly cpuPercent: number;
  /** stdout and stderr together, in MiB. At the limit: older output is cut off. */
  readonly logMb: number;
  /**
   * What a sandbox may have in all files in its scratch directory, in MiB, and the largest single file. At the limit: the
   * sandbox is killed and its calls fail with OL_SANDBOX_OUT_OF_DISK, or, where scratch is in memory, writing fails with ENOSPC.
   */
  readonly scratchMb: number;
}

/** What one lambda may use: its sandboxes' limits, and those of a call. */
export interface LambdaLimits extends SandboxLimits {
  /** How long a call may run, in seconds. At the limit: OL_SANDBOX_TIMEOUT; a function's sandbox is destroyed. */
  readonly runtimeSec: number;
  /** The largest request body of a function, in MiB. At the limit: whoever reads the request refuses it. */
  readonly bodyMb: number;
}
