export {
  type EvictionChosen,
  type Evicted,
  onSandboxChannel,
  SANDBOX_CHANNELS,
  type SandboxChannels,
  type SandboxCreated,
  type SandboxDestroyed,
  type SandboxFailed,
  type SandboxMessage,
  type SandboxReady,
  type ZygoteCreated,
  type ZygoteDestroyed,
  type ZygoteFailed,
} from "./channels.ts";
export { DockerEngine } from "./docker/engine.ts";
export { inspectDocker, sweepDocker } from "./docker/host.ts";
export type { DaemonPlace } from "@ol/common";
export type { DockerEngineOptions } from "./docker/options.ts";
export * from "./engine.ts";
export * from "./errors.ts";
export { EVICTION_POLICIES, type EvictionPolicyName } from "./eviction-policies.ts";
export {
  type EvictableSandbox,
  type EvictableZygote,
  type EvictionSnapshot,
  type Evictor,
  type EvictorOptions,
  makeEvictor,
} from "./evictor.ts";
export type * from "./frames/call.ts";
export { type ConnectionTimers, DEFAULT_CONNECTION_TIMERS } from "./frames/connection-options.ts";
export { GUEST_RUNTIME_DIR, guestArguments, type GuestStart } from "./guest.ts";
export { type ImportReport, type PackageImport, parseImports } from "./imports.ts";
export { isNotStarted, wasBehind } from "./not-started.ts";
export * from "./pool.ts";
export type * from "./pool-types.ts";
export { type Reply, Sandbox, type SandboxState } from "./sandbox.ts";
export { type BaseFacts, type BaseReport, inspectBase } from "./sock/base-report.ts";
export { SockEngine } from "./sock/engine.ts";
export { type HostCheck, type HostReport, type SweepReport, inspectHost, sweepSock } from "./sock/host.ts";
export type { Defence, SockEngineOptions } from "./sock/options.ts";
export { findPython, type Python } from "./sock/python.ts";
export { parseSteps, type StepEnd, type StepReport } from "./steps.ts";
