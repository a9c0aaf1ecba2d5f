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
 * The policy `off`: every sandbox is forked from the root, and imports what it needs itself. A policy of one's own may extend it
 * and say only what it does otherwise.
 */
export class NoZygotes implements ZygotePolicy {
  choose(_set: PackageSet): NodeId | undefined {
    return undefined;
  }

  started(_start: Start): Decision {
    return NOTHING;
  }

  next(_nowMs: number): Decision {
    return NOTHING;
  }

  built(node: NodeId, _report: BuildReport, _nowMs: number): Decision {
    return { evict: [node] };
  }

  buildFailed(_node: NodeId, _failure: BuildFailure, _nowMs: number): Decision {
    return NOTHING;
  }

  gone(_node: NodeId, _nowMs: number): Decision {
    return NOTHING;
  }

  excluded(_pin: PinId, _reason: string, _nowMs: number): Decision {
    return NOTHING;
  }

  save(_nowMs: number): Saved {
    return {};
  }

  restore(_saved: unknown, _nowMs: number): string | undefined {
    return undefined;
  }

  snapshot(_nowMs: number): PolicySnapshot {
    return { nodes: [], budgetMb: 0, usedMb: 0, excluded: new Map() };
  }
}
