import type { Decision, NodeId, PolicySnapshot, Saved, Start, ZygotePolicy } from "./policy.ts";

const NOTHING: Decision = { evict: [] };

/** The policy `off`: every sandbox is forked from the root, and imports what it needs itself. */
export class NoZygotes implements ZygotePolicy {
  choose(): NodeId | undefined {
    return undefined;
  }

  started(_start: Start): Decision {
    return NOTHING;
  }

  next(): Decision {
    return NOTHING;
  }

  built(node: NodeId): Decision {
    return { evict: [node] };
  }

  buildFailed(): Decision {
    return NOTHING;
  }

  gone(): Decision {
    return NOTHING;
  }

  excluded(): Decision {
    return NOTHING;
  }

  save(): Saved {
    return {};
  }

  restore(): string | undefined {
    return undefined;
  }

  snapshot(): PolicySnapshot {
    return { nodes: [], budgetMb: 0, usedMb: 0, excluded: new Map() };
  }
}
