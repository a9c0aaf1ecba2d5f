import type { OlError } from "@ol/common";

import type { CodeKeeper } from "./code-keeper.ts";
import type { LambdaCode } from "./code-source.ts";
import type { CodeVersion } from "./code-state.ts";
import { lambdaError } from "./errors.ts";
import type { Fleet } from "./fleet.ts";
import { News } from "./news.ts";
import type { ResolvedOptions } from "./options.ts";
import { NO_PACKAGES } from "./packages/package-source.ts";
import { type LambdaInfo, makeProfile, type Profile } from "./profile.ts";
import { stillInstalling } from "./waiting-calls.ts";

/** The function whose code is asked about. */
export interface InquiryOwner {
  readonly name: string;
  readonly keeper: CodeKeeper;
  readonly fleet: Fleet;
  /** How long a call waits that comes now. */
  readonly longestWaitMs: number;
  profileOf(version: CodeVersion): Profile;
  /** Starts one more instance. */
  startOne(version: CodeVersion): void;
}

/** Answers those who ask what one function's code is before they have a call for it. */
export class CodeInquiry {
  readonly #owner: InquiryOwner;
  readonly #options: ResolvedOptions;
  readonly #news = new News();

  constructor(owner: InquiryOwner, options: ResolvedOptions) {
    this.#owner = owner;
    this.#options = options;
  }

  /** What the current code says; fails with what a call would be answered if there is none to run. */
  info(): LambdaInfo | Promise<LambdaInfo> {
    const { keeper } = this.#owner;
    if (keeper.fresh(performance.now()) && keeper.state.kind === "good")
      return this.#owner.profileOf(keeper.state.version).info;
    return this.#checkedInfo();
  }

  /** As `info`, once the code's kind is known: a sandbox is started for that if there is none. */
  async learn(): Promise<LambdaInfo> {
    const { keeper, fleet } = this.#owner;
    const sinceMs = performance.now();
    for (;;) {
      const info = await this.info();
      if (info.kind !== undefined) return info;
      const { current } = keeper;
      if (current !== undefined && !fleet.hasLive(current)) this.#owner.startOne(current);
      const leftMs = sinceMs + this.#owner.longestWaitMs - performance.now();
      if (leftMs <= 0) throw this.#learnedNothing();
      await this.#news.next(leftMs);
    }
  }

  /** Whether somebody waits for a sandbox to load the code. */
  get awaited(): boolean {
    return this.#news.awaited;
  }

  /** Everybody who waits looks again, or fails with the error. */
  tell(error?: unknown): void {
    this.#news.tell(error);
  }

  async #checkedInfo(): Promise<LambdaInfo> {
    const { keeper, name } = this.#owner;
    await keeper.released();
    const { state, installing, awaitsPackages } = keeper;
    if (awaitsPackages && installing !== undefined) return this.#infoOf(installing);
    if (state.kind === "good") return this.#owner.profileOf(state.version).info;
    throw state.kind === "loading"
      ? lambdaError("OL_LAMBDA_LOAD_FAILED", `the code of ${name} could not be loaded`)
      : state.error;
  }

  /** Of code that cannot be run yet. */
  #infoOf(code: LambdaCode): LambdaInfo {
    const version = { code, users: 0, kind: undefined, packages: NO_PACKAGES };
    return makeProfile(version, this.#options).info;
  }

  #learnedNothing(): OlError {
    const { keeper, name } = this.#owner;
    return keeper.awaitsPackages
      ? stillInstalling(name)
      : lambdaError("OL_LAMBDA_QUEUE_TIMEOUT", `no sandbox loaded the code of ${name} in time`);
  }
}
