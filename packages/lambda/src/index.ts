export { type Autoscaler, makeAutoscaler } from "./autoscaler.ts";
export {
  type CallEnded,
  type CallMessage,
  type CallStarted,
  LAMBDA_CHANNELS,
  type LambdaChannels,
  onLambdaChannel,
  type QueueEntered,
  type QueueLeft,
  type QueueRefused,
  type ScaleGrown,
  type ScaleShrunk,
} from "./channels.ts";
export type * from "./code-source.ts";
export * from "./errors.ts";
export type { InstanceState } from "./instance.ts";
export * from "./manager.ts";
export type { LambdaManagerOptions } from "./options.ts";
export {
  Installer,
  type InstallerLimits,
  type InstallerOptions,
  type InstallerTools,
} from "./packages/installer.ts";
export type * from "./packages/lock-store.ts";
export * from "./packages/package-garbage.ts";
export { PackageShelf } from "./packages/package-shelf.ts";
export * from "./packages/package-source.ts";
export * from "./packages/package-store.ts";
export type { CallPhases, Invocation, LambdaRequest } from "./pending-call.ts";
export * from "./policy.ts";
export type { LambdaInfo } from "./profile.ts";
export type { ReportedFunction, ReportedState } from "./reported.ts";
export type {
  CallCounts,
  FunctionStats,
  HistogramStats,
  LambdaStats,
  PhaseTotals,
  SandboxStats,
} from "./stats.ts";
export * from "./trace.ts";
export * from "./trace-writer.ts";
export * from "./warm-log.ts";
export * from "./zygotes/index.ts";
