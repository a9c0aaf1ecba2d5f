export * from "./engine.ts";
export * from "./errors.ts";
export type * from "./frames/call.ts";
