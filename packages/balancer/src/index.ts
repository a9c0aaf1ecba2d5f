export * from "./clock.ts";
export * from "./dispatcher.ts";
export * from "./errors.ts";
export type * from "./lease.ts";
export type * from "./options.ts";
export * from "./proxy/balancer-server.ts";
export { DEFAULT_LIMITS, type ProxyLimits } from "./proxy/limits.ts";
export type * from "./proxy/registrar.ts";
