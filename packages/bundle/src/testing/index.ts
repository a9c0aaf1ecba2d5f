export type { HostileBundle } from "./hostile/hostile-bundle.ts";
export { HOSTILE_BUNDLES } from "./hostile-bundles.ts";
export * from "./tar-builder.ts";
