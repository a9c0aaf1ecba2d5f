import { packageKey } from "@ol/common";
import type { CodeKind, SandboxSpec } from "@ol/sandbox";

import type { CodeVersion } from "./code-state.ts";
import type { LambdaCode } from "./code-source.ts";
import type { ResolvedOptions } from "./options.ts";

/** What a caller has to know of a function before it reads a request's body. */
export interface LambdaInfo {
  /** A function gets its body in full, an app as it comes. Undefined before a sandbox has loaded the code. */
  readonly kind: CodeKind | undefined;
  /** Upper-case HTTP methods let through; undefined is all. */
  readonly methods: readonly string[] | undefined;
  /** The largest body of a function. */
  readonly bodyBytes: number;
}

/** Derived from one version's configuration once, not once a call. */
export interface Profile {
  readonly code: LambdaCode;
  readonly spec: SandboxSpec;
  readonly timeoutMs: number;
  readonly info: LambdaInfo;
  /** False: a sandbox runs one call. */
  readonly reuse: boolean;
  readonly minInstances: number;
  readonly maxInstances: number;
  /** Calls that may wait. */
  readonly maxQueued: number;
  /** Calls that one instance runs at once. */
  readonly concurrency: number;
  /** Of what its requirements name, see packageKey in @ol/common; undefined if they name nothing. */
  readonly packageKey: string | undefined;
}

const MIB = 1024 * 1024;

/** What the code's ol.yaml says, over the worker's defaults. */
export const makeProfile = ({ code, kind, packages }: CodeVersion, options: ResolvedOptions): Profile => {
  const { config } = code;
  const { runtimeSec, bodyMb, ...limits } = { ...options.limits, ...config.limits };
  const maxInstances = config.maxInstances ?? options.maxInstances;
  return {
    code,
    spec: {
      name: code.name,
      code: code.dir,
      network: config.network ?? options.network,
      environment: config.environment,
      limits,
      ...(packages.packages.length > 0 && { packages: packages.packages.map(({ directory }) => directory) }),
    },
    timeoutMs: runtimeSec * 1000,
    info: { kind, methods: config.methods, bodyBytes: bodyMb * MIB },
    reuse: config.reuseSandbox ?? true,
    minInstances: Math.min(config.minInstances ?? 0, maxInstances),
    maxInstances,
    maxQueued: config.queue ?? options.maxQueuedPerFunction,
    // A function, and a WSGI app, is one thread: it runs one call at a time.
    concurrency: kind === "asgi" ? (config.concurrency ?? 1) : 1,
    packageKey: packageKey((code.requirements ?? []).map(({ name }) => name)),
  };
};

/** Those of one function's code: made when they are first asked for, and again when more is known of the code. */
export class Profiles {
  readonly #options: ResolvedOptions;
  readonly #known = new WeakMap<CodeVersion, Profile>();

  constructor(options: ResolvedOptions) {
    this.#options = options;
  }

  of(version: CodeVersion): Profile {
    let profile = this.#known.get(version);
    if (profile?.code !== version.code || profile.info.kind !== version.kind) {
      profile = makeProfile(version, this.#options);
      this.#known.set(version, profile);
    }
    return profile;
  }
}
