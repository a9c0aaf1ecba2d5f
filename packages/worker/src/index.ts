export * from "./errors.ts";
export * from "./local-code-source.ts";
export * from "./worker.ts";
