export * from "./cli.ts";
export * from "./errors.ts";
export type * from "./results.ts";
export * from "./run.ts";
export * from "./statistics.ts";
export * from "./table.ts";
