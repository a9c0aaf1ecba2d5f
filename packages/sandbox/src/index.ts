export * from "./engine.ts";
export * from "./errors.ts";
export type * from "./frames/call.ts";
export { type ConnectionTimers, DEFAULT_CONNECTION_TIMERS } from "./frames/connection-options.ts";
export * from "./pool.ts";
export { type Reply, Sandbox, type SandboxState } from "./sandbox.ts";
export { SockEngine } from "./sock/engine.ts";
export { type HostCheck, type HostReport, type SweepReport, inspectHost, sweepSock } from "./sock/host.ts";
export type { Defence, SockEngineOptions } from "./sock/options.ts";
