export * from "./errors.ts";
export * from "./fingerprint.ts";
export * from "./lambda-config.ts";
export * from "./lambda-config-file.ts";
export * from "./limits.ts";
export * from "./reference.ts";
export * from "./snapshot.ts";
