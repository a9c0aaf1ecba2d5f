export * from "./errors.ts";
export type * from "./object-store.ts";
export * from "./s3-error.ts";
