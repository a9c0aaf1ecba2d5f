import { isOlError, type Logger, messageOf, OlError } from "@ol/common";

import type { CodeSource, LambdaCode } from "./code-source.ts";
import { lambdaError } from "./errors.ts";

/** A source that does not answer must not hold a function's calls for ever. */
const SOURCE_TIMEOUT_MS = 20_000;
/** Who mends a broken lambda wants to see it at once; looking is a few stat calls. */
const BROKEN_RECHECK_MS = 200;

/** One version of a function's code and how many instances use it. It is given back when none does. */
export interface CodeVersion {
  /** Replaced when the source hands out the same digest again. */
  code: LambdaCode;
  users: number;
}

/**
 * loading: nothing known yet · good: `version` may be run · broken: calls are answered with `error` until the code
 * changes · gone: the source has no such lambda (any more).
 */
export type CodeState =
  | { readonly kind: "loading" }
  | { readonly kind: "good"; readonly version: CodeVersion }
  | {
      readonly kind: "broken";
      readonly error: OlError;
      readonly sinceMs: number;
      readonly version: CodeVersion | undefined;
    }
  | { readonly kind: "gone"; readonly error: OlError };

export interface CodeKeeperOptions {
  readonly name: string;
  readonly source: CodeSource;
  /** How old the knowledge of what is current may be when a call starts. */
  readonly cacheMs: number;
  readonly logger: Logger;
  /** A check ended; the state may be another one. */
  readonly onChecked: () => void;
}

/**
 * Keeps one function's code current. Nothing is polled: a call that finds the code older than half the cache time
 * has it checked in the background, and only one that finds it older than the cache time waits for that.
 */
export class CodeKeeper {
  state: CodeState = { kind: "loading" };
  readonly #options: CodeKeeperOptions;
  #checkedMs = Number.NEGATIVE_INFINITY;
  #checking: Promise<void> | undefined;
  #holding = false;

  constructor(options: CodeKeeperOptions) {
    this.#options = options;
  }

  /** Whether calls have to wait for the check that is under way. */
  get holding(): boolean {
    return this.#holding;
  }

  /** Whether a call that comes now may go by the state as it is. Starts a check when one is due. */
  fresh(nowMs: number): boolean {
    if (this.state.kind === "gone") return true;
    const ageMs = nowMs - this.#checkedMs;
    const { cacheMs } = this.#options;
    const limitMs = this.state.kind === "broken" ? Math.min(cacheMs, BROKEN_RECHECK_MS) : cacheMs;
    if (ageMs * 2 >= limitMs && this.#checking === undefined) void this.check();
    this.#holding ||= ageMs > limitMs;
    return !this.#holding;
  }

  /** Asks the source what is current; never rejects. Checks do not overlap. */
  check(): Promise<void> {
    this.#checking ??= this.#check().finally(() => {
      this.#checking = undefined;
      this.#holding = false;
      this.#options.onChecked();
    });
    return this.#checking;
  }

  /** The code could not be loaded in a sandbox. */
  importFailed(version: CodeVersion, error: OlError): void {
    if (this.state.kind !== "good" || this.state.version !== version) return;
    this.state = { kind: "broken", error, sinceMs: performance.now(), version };
  }

  /** An instance begins to use a version. */
  hold(version: CodeVersion): void {
    version.users += 1;
  }

  /** An instance that used a version is gone. */
  drop(version: CodeVersion): void {
    version.users -= 1;
    this.#releaseIfUnused(version);
  }

  /** The function is forgotten: versions go back to the source with their last user. */
  forget(error: OlError): void {
    this.#become({ kind: "gone", error });
  }

  async #check(): Promise<void> {
    const startedMs = performance.now();
    const { source, name } = this.#options;
    const signal = AbortSignal.timeout(SOURCE_TIMEOUT_MS);
    try {
      const known = this.#version();
      if (known !== undefined && known.code.stamp === (await source.current(name, signal))) this.#unchanged();
      else this.#changed(await source.resolve(name, signal));
    } catch (error) {
      this.#failed(error);
    }
    this.#checkedMs = startedMs;
  }

  #version(): CodeVersion | undefined {
    return this.state.kind === "good" || this.state.kind === "broken" ? this.state.version : undefined;
  }

  /** The same code. What broke it may have been passing, so that it is tried again after the cache time. */
  #unchanged(): void {
    const { state } = this;
    if (state.kind !== "broken" || state.version === undefined) return;
    if (performance.now() - state.sinceMs >= this.#options.cacheMs)
      this.#become({ kind: "good", version: state.version });
  }

  #changed(code: LambdaCode): void {
    if (this.state.kind === "gone") return this.#options.source.release(code);
    const known = this.#version();
    if (known?.code.digest === code.digest) {
      // Touched, not changed: what runs stays. Each `resolve` has its own `release`.
      this.#options.source.release(known.code);
      known.code = code;
      return this.#become({ kind: "good", version: known });
    }
    this.#options.logger.info("code loaded", { lambda: this.#options.name, digest: code.digest });
    this.#become({ kind: "good", version: { code, users: 0 } });
  }

  #failed(error: unknown): void {
    const { name, logger } = this.#options;
    if (isOlError(error) && error.causedBy === "user") {
      if (error.status < 500) return this.#become({ kind: "gone", error });
      // Told once a change, not once a check: nothing changes while nobody mends it.
      if (this.state.kind !== "broken" || this.state.error.message !== error.message)
        logger.info("the code is broken", { lambda: name, error: error.message });
      return this.#become({ kind: "broken", error, sinceMs: performance.now(), version: undefined });
    }
    logger.warn("could not ask the registry for a lambda's code", { lambda: name, error: messageOf(error) });
    // A registry that is down takes nothing away from what runs.
    if (this.#version() !== undefined) return;
    const failure = lambdaError("OL_LAMBDA_LOAD_FAILED", `the registry could not give the code of ${name}`, {
      cause: error,
    });
    this.#become({ kind: "broken", error: failure, sinceMs: performance.now(), version: undefined });
  }

  #become(next: CodeState): void {
    const before = this.#version();
    if (this.state.kind === "gone") return;
    this.state = next;
    if (before !== undefined && before !== this.#version()) this.#releaseIfUnused(before);
  }

  #releaseIfUnused(version: CodeVersion): void {
    if (version.users === 0 && version !== this.#version()) this.#options.source.release(version.code);
  }
}
