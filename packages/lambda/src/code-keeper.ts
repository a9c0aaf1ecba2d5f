import type { Requirement } from "@ol/bundle";
import { isOlError, type Logger, messageOf, type OlError } from "@ol/common";
import type { CodeKind } from "@ol/sandbox";

import type { CodeSource, LambdaCode } from "./code-source.ts";
import { broken, type CodeState, type CodeVersion, good } from "./code-state.ts";
import { lambdaError } from "./errors.ts";
import { NO_PACKAGES, type PackageSource } from "./packages/package-source.ts";
import { type Doubt, PATIENCE_MS, SourceDoubt } from "./source-doubt.ts";

/** A source that does not answer must not hold a function's calls for ever. */
const SOURCE_TIMEOUT_MS = 20_000;
/** Who mends a broken lambda wants to see it at once; looking is a few stat calls. */
const BROKEN_RECHECK_MS = 200;
/** New code that was refused is tried again after this time: what it lacked may have been passing. */
const RETRY_REJECTED_MS = 60_000;

/** Who copies a directory anew removes the old one first: a lambda that was there is gone if it still is after this time. */
const GONE_PATIENCE_MS = 250;

export interface CodeKeeperOptions {
  readonly name: string;
  readonly source: CodeSource;
  readonly packages: PackageSource;
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
  /** When the current version was last known to be the newest, while there is a candidate. */
  #newestMs = Number.NEGATIVE_INFINITY;
  #checking: Promise<void> | undefined;
  #holding = false;
  #held: (() => void)[] = [];
  readonly #doubt: SourceDoubt;
  /** Newer code than all else whose packages are being installed. */
  #installing: LambdaCode | undefined;
  /** The digest of the newest code that was told of in the log. */
  #found: string | undefined;

  constructor(options: CodeKeeperOptions) {
    this.#options = options;
    this.#doubt = new SourceDoubt(options.name, options.logger);
  }

  /** Whether calls have to wait for the check that is under way. */
  get holding(): boolean {
    return this.#holding;
  }

  /** Settles when calls do not have to wait any more. */
  released(): Promise<void> {
    return this.#holding ? new Promise((resolve) => this.#held.push(resolve)) : Promise.resolve();
  }

  /** Since when, and why, it is not known whether what runs is the newest; undefined if it is. */
  get doubt(): Doubt | undefined {
    return this.#doubt.current;
  }

  /** What is to be run; undefined if there is nothing. */
  get current(): CodeVersion | undefined {
    return this.state.kind === "good" ? this.state.version : undefined;
  }

  /** What is to be run once its packages are installed; undefined if nothing is being installed. */
  get installing(): LambdaCode | undefined {
    return this.#installing;
  }

  /** Whether there is nothing to run before its packages are installed. */
  get awaitsPackages(): boolean {
    return this.#installing !== undefined && (this.state.kind === "loading" || this.state.kind === "broken");
  }

  /** What is to be run if a sandbox can load it. */
  get candidate(): CodeVersion | undefined {
    return this.state.kind === "good" ? this.state.candidate : undefined;
  }

  /** Whether there is newer code, and for so long perhaps that a call that comes now should not get the current. */
  stale(nowMs: number): boolean {
    return this.candidate !== undefined && nowMs - this.#newestMs > this.#options.cacheMs;
  }

  /** Why the newest code is not run; undefined if it is. */
  get fault(): OlError | undefined {
    if (this.state.kind === "good") return this.state.rejected?.error;
    return this.state.kind === "broken" ? this.state.error : undefined;
  }

  /** Whether a call that comes now may go by the state as it is. Starts a check when one is due. */
  fresh(nowMs: number): boolean {
    if (this.state.kind === "gone") return true;
    const ageMs = nowMs - this.#checkedMs;
    const { cacheMs } = this.#options;
    const limitMs = this.state.kind === "broken" ? Math.min(cacheMs, BROKEN_RECHECK_MS) : cacheMs;
    if (ageMs * 2 >= limitMs && this.#checking === undefined) void this.check();
    // A source that is down or slow holds up nothing that there is code for.
    this.#holding ||= ageMs > limitMs && !(this.current !== undefined && this.#doubt.isDoubtful);
    return !this.#holding;
  }

  /** Asks the source what is current; never rejects. Checks do not overlap. */
  check(): Promise<void> {
    this.#checking ??= this.#check().finally(() => {
      this.#checking = undefined;
      this.#release();
    });
    return this.#checking;
  }

  /** A sandbox has loaded the code. */
  loaded(version: CodeVersion, kind: CodeKind): void {
    version.kind = kind;
  }

  /** The candidate takes its predecessor's place. */
  promote(): void {
    const { candidate } = this;
    if (candidate === undefined) return;
    this.#say("info", "new code is in use", { digest: candidate.code.digest });
    this.#become(good(candidate));
  }

  /** The code could not be loaded in a sandbox. */
  importFailed(version: CodeVersion, error: OlError): void {
    const { stamp } = version.code;
    if (version === this.candidate) this.#reject(error, stamp);
    else if (version === this.current)
      this.#become({ kind: "broken", error, stamp, sinceMs: performance.now(), version });
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
    this.#dropInstalling();
    this.#become({ kind: "gone", error });
  }

  async #check(): Promise<void> {
    const startedMs = performance.now();
    const signal = AbortSignal.timeout(SOURCE_TIMEOUT_MS);
    const impatience = setTimeout(() => this.#tooSlow(), PATIENCE_MS).unref();
    try {
      await this.#askTwice(signal);
    } catch (error) {
      await this.#failed(error, signal);
    } finally {
      clearTimeout(impatience);
    }
    this.#doubt.took(performance.now() - startedMs);
    this.#checkedMs = startedMs;
  }

  /** The source has not answered, and calls may be waiting for that. */
  #tooSlow(): void {
    this.#doubt.took(PATIENCE_MS);
    if (this.current === undefined) return;
    this.#doubt.note(`it has not answered within ${PATIENCE_MS} ms`);
    this.#release();
  }

  #release(): void {
    this.#holding = false;
    for (const resolve of this.#held.splice(0)) resolve();
    this.#options.onChecked();
  }

  /** The second time only if the first answer is that a lambda is gone which was there. */
  async #askTwice(signal: AbortSignal): Promise<void> {
    try {
      return await this.#ask(signal);
    } catch (error) {
      if (!isGone(error) || this.#versions().length === 0) throw error;
    }
    await new Promise<void>((resolve) => setTimeout(resolve, GONE_PATIENCE_MS).unref());
    await this.#ask(signal);
  }

  async #ask(signal: AbortSignal): Promise<void> {
    const { source, name } = this.#options;
    const stamp = this.#stamp();
    if (stamp !== undefined && stamp === (await source.current(name, signal))) {
      this.#doubt.end();
      this.#unchanged();
      return;
    }
    const code = await source.resolve(name, signal);
    if (code.unconfirmed === undefined) this.#doubt.end();
    else this.#doubt.note(messageOf(code.unconfirmed));
    this.#changed(code);
  }

  /** What the source called the newest code that is known. */
  #stamp(): string | undefined {
    const { state } = this;
    if (this.#installing !== undefined) return this.#installing.stamp;
    if (state.kind === "broken") return state.stamp;
    if (state.kind !== "good") return undefined;
    return state.rejected?.stamp ?? (state.candidate ?? state.version).code.stamp;
  }

  /** The same code. What broke it may have been passing, so that it is tried again after a while. */
  #unchanged(): void {
    if (this.#installing !== undefined) return;
    const { state } = this;
    const nowMs = performance.now();
    if (state.kind === "broken" && nowMs - state.sinceMs >= this.#options.cacheMs) {
      // Without a version the next check reads it anew.
      if (state.version === undefined) this.#become({ ...state, stamp: undefined });
      else this.#become(good(state.version));
    }
    if (state.kind === "good" && state.rejected !== undefined)
      if (nowMs - state.rejected.sinceMs >= RETRY_REJECTED_MS)
        this.#become({ ...state, rejected: { ...state.rejected, stamp: undefined } });
  }

  #changed(code: LambdaCode): void {
    if (this.state.kind === "gone") return this.#options.source.release(code);
    if (code.digest === this.#installing?.digest) {
      this.#options.source.release(this.#installing);
      this.#installing = code;
      return;
    }
    this.#dropInstalling();
    const known = this.#versions().find((version) => version.code.digest === code.digest);
    if (known !== undefined) {
      // Touched, not changed, or changed back: what runs stays. Each `resolve` has its own `release`.
      this.#options.source.release(known.code);
      known.code = code;
      if (known !== this.candidate) this.#become(good(known));
      return;
    }
    // Of code whose packages cannot be had at the moment the digest was said before.
    if (code.digest !== this.#found) this.#say("info", "new code was found", { digest: code.digest });
    this.#found = code.digest;
    if (code.requirements === undefined || code.requirements.length === 0)
      return this.#ready({ code, users: 0, kind: undefined, packages: NO_PACKAGES });
    this.#installing = code;
    void this.#install(code.digest, code.requirements);
  }

  /** Nobody waits for it but the calls that have nothing else to run. */
  async #install(digest: string, requirements: readonly Requirement[]): Promise<void> {
    const { name, packages } = this.#options;
    const lambda = name.replace(/@.*/u, "");
    const set = await packages
      .provide({ lambda, digest, requirements })
      .catch((error: unknown) => asError(error));
    const code = this.#installing;
    // Meanwhile there may be newer code, or none any more.
    if (code?.digest !== digest) return;
    this.#installing = undefined;
    if (set instanceof Error) {
      this.#options.source.release(code);
      this.#notInstalled(set, code.stamp);
    } else this.#ready({ code, users: 0, kind: undefined, packages: set });
    this.#options.onChecked();
  }

  /** Until the next check, which tries again. */
  #notInstalled(error: Error, stamp: string): void {
    if (isOlError(error) && error.causedBy === "user") return this.#unreadable(error, stamp);
    const failure = isOlError(error) ? error : notInstalled(this.#options.name, error);
    if (this.current?.kind !== undefined) return this.#reject(failure, undefined);
    if (this.fault?.message !== failure.message)
      this.#say("warn", "could not install a lambda's packages", { error: error.message });
    if (this.#versions().length === 0 || this.state.kind === "broken") this.#become(broken(failure));
  }

  #dropInstalling(): void {
    if (this.#installing === undefined) return;
    this.#options.source.release(this.#installing);
    this.#installing = undefined;
  }

  /** Code that can be run, as far as is known. */
  #ready(version: CodeVersion): void {
    const { current } = this;
    // Nobody waits for the proof that it can be loaded where nothing else could be run meanwhile.
    if (current?.kind === undefined) return this.#become(good(version));
    if (this.candidate === undefined) this.#newestMs = this.#checkedMs;
    this.#become({ kind: "good", version: current, candidate: version, rejected: undefined });
  }

  async #failed(error: unknown, signal: AbortSignal): Promise<void> {
    if (isGone(error)) {
      this.#dropInstalling();
      return this.#become({ kind: "gone", error });
    }
    if (isOlError(error) && error.causedBy === "user") {
      this.#doubt.end();
      return this.#unreadable(error, await this.#currentStamp(signal));
    }
    // A registry that is down takes nothing away from what runs, or soon will.
    if (this.#versions().length > 0 || this.#installing !== undefined)
      return this.#doubt.note(messageOf(error));
    this.#say("warn", "could not ask the registry for a lambda's code", { error: messageOf(error) });
    // What it is without where: callers need not know the registry's address.
    const what = isOlError(error) ? ` (${error.code})` : "";
    const failure = lambdaError(
      "OL_LAMBDA_LOAD_FAILED",
      `the registry could not give the code of ${this.#options.name}${what}`,
      { cause: error },
    );
    this.#become(broken(failure));
  }

  /** What the source calls the newest code; undefined if it does not answer. */
  async #currentStamp(signal: AbortSignal): Promise<string | undefined> {
    try {
      return await this.#options.source.current(this.#options.name, signal);
    } catch {
      // Then the next check reads the code anew, and says what is wrong.
      return undefined;
    }
  }

  /** The newest code has a mistake that shows without running it. */
  #unreadable(error: OlError, stamp: string | undefined): void {
    this.#dropInstalling();
    if (this.current?.kind !== undefined) return this.#reject(error, stamp);
    // Told once a change, not once a check: nothing changes while nobody mends it.
    if (this.fault?.message !== error.message)
      this.#say("info", "the code is broken", { error: error.message });
    this.#become({ ...broken(error), stamp });
  }

  /** The current version stays, whatever is newer. */
  #reject(error: OlError, stamp: string | undefined): void {
    const { current } = this;
    if (current === undefined) return;
    if (this.fault?.message !== error.message)
      this.#say("warn", "new code cannot be used; the code before it still is", { error: error.message });
    const rejected = { error, stamp, sinceMs: performance.now() };
    this.#become({ kind: "good", version: current, candidate: undefined, rejected });
  }

  /** Every version that the state keeps. */
  #versions(): CodeVersion[] {
    const { state } = this;
    if (state.kind === "broken") return state.version === undefined ? [] : [state.version];
    if (state.kind !== "good") return [];
    return state.candidate === undefined ? [state.version] : [state.version, state.candidate];
  }

  #become(next: CodeState): void {
    const before = this.#versions();
    if (this.state.kind === "gone") return;
    this.state = next;
    for (const version of before) this.#releaseIfUnused(version);
  }

  #releaseIfUnused(version: CodeVersion): void {
    if (version.users === 0 && !this.#versions().includes(version))
      this.#options.source.release(version.code);
  }

  #say(level: "info" | "warn", message: string, fields: Readonly<Record<string, unknown>>): void {
    this.#options.logger[level](message, { lambda: this.#options.name, ...fields });
  }
}

const isGone = (error: unknown): error is OlError =>
  isOlError(error) && error.causedBy === "user" && error.status < 500;

const notInstalled = (name: string, cause: Error): OlError =>
  lambdaError("OL_LAMBDA_LOAD_FAILED", `the packages of ${name} could not be installed`, { cause });

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));
