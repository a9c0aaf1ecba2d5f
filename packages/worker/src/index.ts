export * from "./errors.ts";
export * from "./local-code-source.ts";
export * from "./local-lock-store.ts";
export * from "./registry-code-source.ts";
export { nearLocks, RegistryLockStore, type RegistryLockStoreOptions } from "./registry-lock-store.ts";
export type { PackedLimits } from "@ol/bundle";
export { parseTrustedKeys, RegistryClient, type RegistryClientOptions } from "@ol/registry-client";
export type { SignatureMode, SignatureOptions } from "./signature-policy.ts";
export * from "./worker.ts";
