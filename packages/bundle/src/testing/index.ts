export { HOSTILE_BUNDLES, type HostileBundle } from "./hostile-bundles.ts";
export * from "./tar-builder.ts";
