import { nearest } from "@ol/common";

import { balancerError } from "../errors.ts";
import { cost } from "./cost.ts";
import { hash } from "./hash.ts";
import { lard } from "./lard.ts";
import { leastConnections } from "./least-connections.ts";
import type { Policy } from "./policy.ts";
import { roundRobin } from "./round-robin.ts";

/** A policy whose state is its own affair. */
export type AnyPolicy = Policy<unknown>;

/** Every policy; the first is the default. A new one is a file of its own and a line here. */
export const POLICIES: readonly AnyPolicy[] = [lard, roundRobin, leastConnections, hash, cost];

export const DEFAULT_POLICY = "LARD";

/** The policy of that name. Fails with OL_BALANCER_BAD_OPTION, naming the nearest. */
export const policyNamed = (name: string): AnyPolicy => {
  const found = POLICIES.find((policy) => policy.name === name);
  if (found !== undefined) return found;
  const names = POLICIES.map((policy) => policy.name);
  const guess = nearest(name, names);
  throw balancerError(
    "OL_BALANCER_BAD_OPTION",
    `policy: there is no ${JSON.stringify(name)}; ${guess === undefined ? `choose one of ${names.join(", ")}` : `did you mean ${guess}?`}`,
  );
};
