import { type Logger, messageOf } from "@ol/common";

import type {
  BuildFailure,
  BuildReport,
  Decision,
  NodeId,
  PackageSet,
  PinId,
  PolicySnapshot,
  Saved,
  Start,
  ZygotePolicy,
} from "./policy.ts";

const NOTHING: Decision = { evict: [] };

/**
 * A policy that may be anybody's, as the keeper of a tree sees it: where it throws, or answers with what is no answer, that is
 * logged, and nothing is decided. A zygote that it does not want to hear of is ended.
 */
export class GuardedPolicy implements ZygotePolicy {
  readonly #policy: ZygotePolicy;
  readonly #logger: Logger;

  constructor(policy: ZygotePolicy, logger: Logger) {
    this.#policy = policy;
    this.#logger = logger;
  }

  choose(set: PackageSet): NodeId | undefined {
    return this.#ask(() => this.#policy.choose(set), undefined);
  }

  started(start: Start): Decision {
    return this.#decide(() => this.#policy.started(start));
  }

  next(nowMs: number): Decision {
    return this.#decide(() => this.#policy.next(nowMs));
  }

  built(node: NodeId, report: BuildReport, nowMs: number): Decision {
    return this.#decide(() => this.#policy.built(node, report, nowMs), { evict: [node] });
  }

  buildFailed(node: NodeId, failure: BuildFailure, nowMs: number): Decision {
    return this.#decide(() => this.#policy.buildFailed(node, failure, nowMs));
  }

  gone(node: NodeId, nowMs: number): Decision {
    return this.#decide(() => this.#policy.gone(node, nowMs));
  }

  excluded(pin: PinId, reason: string, nowMs: number): Decision {
    return this.#decide(() => this.#policy.excluded(pin, reason, nowMs));
  }

  save(nowMs: number): Saved {
    return this.#ask(() => this.#policy.save(nowMs), {});
  }

  restore(saved: unknown, nowMs: number): string | undefined {
    return this.#ask(() => this.#policy.restore(saved, nowMs), "the policy failed");
  }

  snapshot(nowMs: number): PolicySnapshot {
    const nothing = { nodes: [], budgetMb: 0, usedMb: 0, excluded: new Map<PinId, string>() };
    return this.#ask(() => this.#policy.snapshot(nowMs), nothing);
  }

  #decide(question: () => Decision, otherwise: Decision = NOTHING): Decision {
    return this.#ask(() => {
      const decision = question();
      if (!Array.isArray(decision.evict)) throw new TypeError("what it says has no list `evict`");
      return decision;
    }, otherwise);
  }

  #ask<Answer>(question: () => Answer, otherwise: Answer): Answer {
    try {
      return question();
    } catch (error) {
      this.#logger.error("the zygote policy failed; nothing is decided", { error: messageOf(error) });
      return otherwise;
    }
  }
}
