export * from "./clock.ts";
export * from "./dispatcher.ts";
export * from "./errors.ts";
export type * from "./lease.ts";
export type * from "./options.ts";
