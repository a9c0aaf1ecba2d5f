export { FORK_MS_PER_MB, LEAST_BUDGET_MB } from "./constants.ts";
export * from "./fit.ts";
export type { FitRecord } from "./fit-problem.ts";
export * from "./growing-tree.ts";
export * from "./no-zygotes.ts";
export type * from "./policy.ts";
export * from "./static-tree.ts";
export { type PlannedNode, parseZygoteTree, type WantedPackage, type ZygoteTreeJson } from "./tree-json.ts";
