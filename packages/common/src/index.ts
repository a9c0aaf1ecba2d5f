export * from "./cleanup.ts";
export * from "./errors.ts";
export * from "./headers.ts";
export * from "./logger.ts";
