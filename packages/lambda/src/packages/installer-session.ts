import { lineOf, type Pin, type Requirement } from "@ol/bundle";
import { type Logger, messageOf } from "@ol/common";
import type { KeepOutcome, Sandbox } from "@ol/sandbox";

import {
  AnswerError,
  badPackages,
  type InstallerFault,
  type InstallOutcome,
  installerError,
  parseAnswer,
  parseOutcomes,
  parsePins,
  sandboxEnded,
} from "./installer-answer.ts";
import { replyWithin } from "./bounded-reply.ts";
import type { InstallerLimits, InstallerTools } from "./installer.ts";

/** A pin and the name of the directory that it is put into. */
export type InstallPin = Pick<Pin, "name" | "version" | "hashes"> & { readonly directory: string };

/** A directory that a session made, or is to be added to, and where it belongs among the packages. */
export interface KeepPackage {
  /** As `install` was told; undefined is what `compile` made. */
  readonly source?: string;
  readonly target: string;
}

interface SessionOptions {
  readonly tools: InstallerTools;
  readonly limits: InstallerLimits;
  readonly source: boolean;
  readonly logger: Logger;
  /** Called once nothing of it is left. */
  readonly ended: () => void;
}

/** As the installer knows it: below the sandbox's /host. */
const OUT = "out";
/** A thousand pins with their hashes are half of that. */
const MOST_ANSWER_BYTES = 8 * 1024 * 1024;

/** One sandbox of the installer's. What uv or pip download is kept for as long as it lives. */
export class InstallerSession implements AsyncDisposable {
  readonly #sandbox: Sandbox;
  readonly #options: SessionOptions;
  readonly #endMs: number;

  constructor(sandbox: Sandbox, options: SessionOptions) {
    this.#sandbox = sandbox;
    this.#options = options;
    this.#endMs = performance.now() + options.limits.runtimeSec * 1_000;
    void sandbox.exited.then(options.ended);
  }

  /** What requirements come to. Fails with OL_LAMBDA_BAD_PACKAGES or OL_LAMBDA_PACKAGES_UNAVAILABLE. */
  async resolve(requirements: readonly Requirement[]): Promise<readonly Pin[]> {
    const fields = { lines: requirements.map(lineOf), source: this.#options.source };
    // Without a hash of the author's, a file that is not what it should be is the index's.
    const mismatch = requirements.some(({ hashes }) => hashes.length > 0) ? "failed" : "mismatch";
    return withHashes(await this.#call("resolve", fields, parsePins, mismatch), requirements);
  }

  /**
   * Downloads and unpacks; each pin into its directory, which `keep` then puts in its place. With `source`, which takes
   * that it is allowed, what has no wheel is built: its code can do to what else is in this sandbox whatever it likes.
   */
  install(pins: readonly InstallPin[], source: boolean): Promise<readonly InstallOutcome[]> {
    return this.#call("install", { pins, source: source && this.#options.source }, (answer) =>
      parseOutcomes(answer, pins.length),
    );
  }

  /** Compiles an installed package's modules. */
  compile(directory: string): Promise<void> {
    return this.#call("compile", { directory }, () => undefined);
  }

  /** Ends it, and puts directories that it made among the packages; what has no source is merged into what is there. */
  async keep(packages: readonly KeepPackage[]): Promise<readonly KeepOutcome[]> {
    const orders = packages.map(({ source, target }) =>
      source === undefined
        ? { source: OUT, target, merge: true }
        : { source: `${OUT}/${source}`, target, merge: false },
    );
    try {
      return await this.#sandbox.keep(orders);
    } catch (error) {
      this.#options.logger.warn("packages could not be kept", { error: messageOf(error) });
      throw sandboxEnded(error);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#sandbox.destroy();
  }

  async #call<Result>(
    op: string,
    fields: Readonly<Record<string, unknown>>,
    parse: (answer: Readonly<Record<string, unknown>>) => Result,
    mismatch: InstallerFault = "mismatch",
  ): Promise<Result> {
    const { tools, logger } = this.#options;
    const event = {
      op,
      tool: tools.tool,
      settings: tools.settings,
      ...(tools.onlyIndex !== undefined && { onlyIndex: tools.onlyIndex }),
      ...fields,
    };
    const body = await this.#reply(op, event);
    try {
      const answer = parseAnswer(body);
      if (answer["ok"] === true) return parse(answer);
      const { kind, reason } = answer as Extract<InstallOutcome, { ok: false }>;
      throw installerError(kind === "mismatch" ? mismatch : kind, reason);
    } catch (error) {
      if (!(error instanceof AnswerError)) throw error;
      logger.warn("the installer's answer makes no sense", { op, error: error.message });
      throw badPackages(`the package index, or a package, says what makes no sense: ${error.message}`);
    }
  }

  async #reply(op: string, event: object): Promise<Buffer> {
    const call = {
      invocationId: `ol-installer-${op}`,
      timeoutMs: Math.max(1, Math.ceil(this.#endMs - performance.now())),
      body: Buffer.from(JSON.stringify(event)),
    };
    let failed: Buffer;
    try {
      const { failure, body } = await replyWithin(this.#sandbox, call, MOST_ANSWER_BYTES);
      if (failure === undefined) return body;
      failed = body;
    } catch (error) {
      this.#options.logger.warn("a sandbox that installs packages ended", { op, error: messageOf(error) });
      throw sandboxEnded(error);
    }
    const error = new Error(failed.toString("utf8").slice(0, 2_000));
    this.#options.logger.error("the installer failed", { op, error: error.message });
    throw sandboxEnded(error);
  }
}

/** uv does not look at them when it resolves. Fails with OL_LAMBDA_BAD_PACKAGES. */
const withHashes = (pins: readonly Pin[], requirements: readonly Requirement[]): readonly Pin[] => {
  const named = new Map(requirements.map(({ name, hashes }) => [name, hashes]));
  return pins.map((pin) => {
    const wanted = named.get(pin.name) ?? [];
    if (wanted.length === 0) return pin;
    const hashes = pin.hashes.filter((hash) => wanted.includes(hash));
    if (hashes.length > 0) return { ...pin, hashes };
    throw badPackages(
      `hash mismatch: no file of ${pin.name}==${pin.version} has a hash that is named for it`,
    );
  });
};
