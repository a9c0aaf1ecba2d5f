import type { PackageCost } from "../zygotes/data.ts";

/** How long a call runs: always as long, or exponentially distributed around that. */
export type Spread = "fixed" | "exponential";

/** A lambda in virtual time. Plain data. */
export interface VirtualLambda {
  readonly name: string;
  /** How long each call waits for something that is not the CPU, as for a database. */
  readonly waitMs: number;
  /** CPU time of each call. */
  readonly cpuMs: number;
  readonly spread: Spread;
  /** CPU time for loading its code, besides what the machine takes for any and what its packages take. */
  readonly loadMs: number;
  /** The packages that it has, all that they need among them: `name==version`. */
  readonly pins: readonly string[];
  /** Sandboxes kept, called or not; and at most. */
  readonly minInstances?: number;
  readonly maxInstances?: number;
}

/** What the packages of lambdas cost, by their names; plain data. */
export type PackageCosts = ReadonlyMap<string, Pick<PackageCost, "ms" | "mb" | "top" | "requires">>;
