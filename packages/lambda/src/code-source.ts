import type { LambdaConfig, Requirement } from "@ol/bundle";

/** One version of a lambda's code, unpacked and immutable, as a source hands it out. */
export interface LambdaCode {
  /** The lambda's name without tag or digest; sandboxes are filed under it. */
  readonly name: string;
  /** The same digest means the same code and the same configuration. */
  readonly digest: string;
  /** Where the code lies, relative to the sandbox engine's `codeDir`. */
  readonly dir: string;
  /** What `current` answered when this version was read. */
  readonly stamp: string;
  readonly config: LambdaConfig;
  /** The packages that it names; default: none. */
  readonly requirements?: readonly Requirement[];
  /** Why the source could not find out whether this is the newest: then it is what it last knew to be. */
  readonly unconfirmed?: Error;
}

/**
 * Where code comes from. A name is a reference as @ol/bundle reads it: NAME, NAME@TAG or NAME@sha256:DIGEST.
 * An error whose `causedBy` is "user" (a mistake in ol.yaml, say) is shown to callers; any other is logged.
 */
export interface CodeSource {
  /**
   * Fetches the newest version. What it returns stays on disk until `release` was called once for it.
   * Fails with OL_LAMBDA_UNKNOWN if there is no such lambda, with OL_BUNDLE_BAD_NAME if the name is none.
   */
  resolve(name: string, signal: AbortSignal): Promise<LambdaCode>;
  /**
   * A stamp that differs whenever `resolve` might return something new; far cheaper than `resolve`.
   * Fails with OL_LAMBDA_UNKNOWN once the lambda was removed.
   */
  current(name: string, signal: AbortSignal): Promise<string>;
  /** Names of the lambdas whose configuration asks for `min_instances`: they are to be ready before they are called. */
  kept(signal: AbortSignal): Promise<readonly string[]>;
  /** No sandbox uses this version any more, and none will. */
  release(code: LambdaCode): void;
}
