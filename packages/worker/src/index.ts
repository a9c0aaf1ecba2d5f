export * from "./errors.ts";
export * from "./local-code-source.ts";
export * from "./local-lock-store.ts";
export * from "./registry-code-source.ts";
export * from "./registry-lock-store.ts";
export type { SignatureMode, SignatureOptions } from "./signature-policy.ts";
export * from "./worker.ts";
