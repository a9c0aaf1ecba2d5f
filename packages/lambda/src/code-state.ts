import type { OlError } from "@ol/common";
import type { CodeKind } from "@ol/sandbox";

import type { LambdaCode } from "./code-source.ts";
import type { InstalledSet } from "./packages/package-source.ts";

/** One version of a function's code and how many instances use it. It is given back when none does. */
export interface CodeVersion {
  /** Replaced when the source hands out the same digest again. */
  code: LambdaCode;
  users: number;
  /** What the code is; undefined before a sandbox has loaded it. */
  kind: CodeKind | undefined;
  readonly packages: InstalledSet;
}

/** New code that cannot be run while older code can. */
export interface Rejection {
  readonly error: OlError;
  /** What the source said was current then; undefined if it could not. */
  readonly stamp: string | undefined;
  readonly sinceMs: number;
}

/**
 * loading: nothing known yet · good: `version` is run; a `candidate` is newer, and takes its place once a sandbox has
 * loaded it; what was `rejected` is newer, and cannot be loaded · broken: calls are answered with `error` until the code
 * changes · gone: the source has no such lambda (any more).
 */
export type CodeState =
  | { readonly kind: "loading" }
  | {
      readonly kind: "good";
      readonly version: CodeVersion;
      readonly candidate: CodeVersion | undefined;
      readonly rejected: Rejection | undefined;
    }
  | {
      readonly kind: "broken";
      readonly error: OlError;
      readonly stamp: string | undefined;
      readonly sinceMs: number;
      readonly version: CodeVersion | undefined;
    }
  | { readonly kind: "gone"; readonly error: OlError };

/** It is to be run, and nothing newer is known. */
export const good = (version: CodeVersion): CodeState => ({
  kind: "good",
  version,
  candidate: undefined,
  rejected: undefined,
});

/** There is nothing to run. */
export const broken = (error: OlError): Extract<CodeState, { kind: "broken" }> => ({
  kind: "broken",
  error,
  stamp: undefined,
  sinceMs: performance.now(),
  version: undefined,
});
