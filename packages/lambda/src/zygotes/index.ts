export { FORK_MS_PER_MB, LEAST_BUDGET_MB } from "./constants.ts";
export * from "./growing-tree.ts";
export * from "./no-zygotes.ts";
export type * from "./policy.ts";
export type * from "./state-store.ts";
export * from "./zygote-keeper.ts";
