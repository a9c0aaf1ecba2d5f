export * from "./errors.ts";
export * from "./local-code-source.ts";
export * from "./local-lock-store.ts";
export * from "./registration.ts";
export * from "./worker.ts";
