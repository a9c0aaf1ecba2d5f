import type { SandboxSpec } from "@ol/sandbox";

import type { LambdaCode } from "./code-source.ts";
import type { ResolvedOptions } from "./options.ts";

/** What a caller has to know of a function before it reads a request's body. */
export interface LambdaInfo {
  /** Upper-case HTTP methods let through; undefined is all. */
  readonly methods: readonly string[] | undefined;
  /** The largest body. */
  readonly bodyBytes: number;
}

/** Derived from one version's configuration once, not once a call. */
export interface Profile {
  readonly code: LambdaCode;
  readonly spec: SandboxSpec;
  readonly timeoutMs: number;
  readonly info: LambdaInfo;
}

const MIB = 1024 * 1024;

/** What the code's ol.yaml says, over the worker's defaults. */
export const makeProfile = (code: LambdaCode, options: ResolvedOptions): Profile => {
  const { runtimeSec, bodyMb, ...limits } = { ...options.limits, ...code.config.limits };
  return {
    code,
    spec: {
      name: code.name,
      code: code.dir,
      network: code.config.network ?? options.network,
      environment: code.config.environment,
      limits,
    },
    timeoutMs: runtimeSec * 1000,
    info: { methods: code.config.methods, bodyBytes: bodyMb * MIB },
  };
};
