import { type Policy, RendezvousOrders, type WorkerView } from "@ol/balancer";

import type { PolicyUnderTrial } from "./simulate.ts";

/** Consistent hashing without a bound, for comparison: a key's calls go where they belong, whatever waits there. */
const unboundedHash: Policy<RendezvousOrders<WorkerView>> = {
  name: "UnboundedHash",
  about: "The first worker of each key's order, unless it takes no more.",
  byKey: true,
  initial: () => new RendezvousOrders(),
  choose: (call, { workers }, orders) => orders.of(call.key, workers).find(({ hasRoom }) => hasRoom),
};

/** Thresholds of the paper, 25 and 65 connections, for workers with so many slots. */
const paper = (slots: number): Pick<PolicyUnderTrial, "loadLow" | "loadHigh"> => ({
  loadLow: 25 / slots,
  loadHigh: Math.max(65 / slots, 2),
});

/** What is compared unless somebody asks for less: in the order of the table. */
export const trialsFor = (slots: number): readonly PolicyUnderTrial[] => [
  { label: "RoundRobin", policy: "RoundRobin", by: "packages" },
  { label: "LeastConnections", policy: "LeastConnections", by: "packages" },
  { label: "hash without a bound, by function", customPolicy: unboundedHash, by: "function" },
  { label: "Hash, by function", policy: "Hash", by: "function" },
  { label: "LARD, 25 and 65 calls, by function", policy: "LARD", ...paper(slots), by: "function" },
  { label: "Hash", policy: "Hash", by: "packages" },
  { label: "LARD", policy: "LARD", by: "packages" },
  { label: "Cost", policy: "Cost", by: "packages" },
];
