import { Candidates } from "./candidates.ts";
import type { TreeNode } from "./node-tree.ts";
import { PinCosts } from "./pin-costs.ts";
import type { PinId, Saved } from "./policy.ts";
import { isRecord } from "./saved.ts";
import { Setbacks } from "./setbacks.ts";
import { parseWishes, type Wish } from "./wishes.ts";

const VERSION = 1;

/** What of a growing tree is saved. */
export interface StateToSave {
  readonly costs: unknown;
  readonly excluded: ReadonlyMap<PinId, string>;
  readonly setbacks: unknown;
  /** The root's. */
  readonly candidates: unknown;
  /** Parents before their children. */
  readonly nodes: readonly {
    readonly node: TreeNode;
    readonly benefit: number;
    readonly candidates: unknown;
  }[];
  readonly wishes: readonly { readonly wish: Wish; readonly benefit: number; readonly candidates: unknown }[];
}

/** What was saved, for a new tree. */
export interface RestoredState {
  readonly costs: PinCosts;
  readonly excluded: Map<PinId, string>;
  readonly setbacks: Setbacks;
  readonly candidates: Candidates;
  /** Parents before their children. */
  readonly wishes: readonly Wish[];
}

/** Zygotes, and those still wished for, in one list in which each names its parent by its place; -1 is the root. */
export const saveState = ({ nodes, wishes, excluded, ...rest }: StateToSave): Saved => {
  const places = new Map<TreeNode | Wish | undefined, number>([[undefined, -1]]);
  const list: unknown[] = [];
  const add = (
    { pins, ms, mb }: TreeNode | Wish,
    parent: TreeNode | Wish | undefined,
    more: { readonly benefit: number; readonly candidates: unknown },
  ): number => {
    const { benefit, candidates } = more;
    list.push({ parent: places.get(parent) ?? -1, pins, ms, mb, benefit: Math.max(benefit, 0), candidates });
    return list.length - 1;
  };
  for (const one of nodes) places.set(one.node, add(one.node, one.node.parent, one));
  for (const one of wishes)
    places.set(one.wish, add(one.wish, one.wish.parent?.node ?? one.wish.parent, one));
  return { version: VERSION, ...rest, excluded: [...excluded], nodes: list };
};

/** What `saveState` returned; or why it is something else, in words. */
export const parseState = (saved: unknown, tauMs: number, nowMs: number): RestoredState | string => {
  if (!isRecord(saved)) return "it is no JSON object";
  if (saved["version"] !== VERSION) return `it is not of version ${VERSION}`;
  const costs = PinCosts.restore(saved["costs"]);
  if (costs === undefined) return "`costs` is not as it was saved";
  const excluded = parseExcluded(saved["excluded"]);
  if (excluded === undefined) return "`excluded` is not as it was saved";
  const setbacks = Setbacks.restore(saved["setbacks"], nowMs);
  if (setbacks === undefined) return "`setbacks` is not as it was saved";
  const candidates = Candidates.restore(saved["candidates"], tauMs, nowMs);
  if (candidates === undefined) return "`candidates` is not as it was saved";
  const wishes = parseWishes(saved["nodes"], tauMs, nowMs);
  if (wishes === undefined) return "`nodes` is not as it was saved";
  return { costs, excluded, setbacks, candidates, wishes };
};

const parseExcluded = (saved: unknown): Map<PinId, string> | undefined => {
  if (!Array.isArray(saved)) return undefined;
  const excluded = new Map<PinId, string>();
  for (const entry of saved as unknown[]) {
    if (!Array.isArray(entry)) return undefined;
    const [pin, reason] = entry as unknown[];
    if (typeof pin !== "string" || typeof reason !== "string") return undefined;
    excluded.set(pin, reason);
  }
  return excluded;
};
