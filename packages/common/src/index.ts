export * from "./cleanup.ts";
export * from "./deferred.ts";
export * from "./errors.ts";
export * from "./headers.ts";
export * from "./limit-keys.ts";
export type * from "./limits.ts";
export * from "./logger.ts";
export * from "./nearest.ts";
export * from "./system-reason.ts";
