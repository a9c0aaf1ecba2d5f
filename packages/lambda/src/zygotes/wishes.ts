import { Candidates } from "./candidates.ts";
import { clamp, LEAST_NODE_MB, MOST_DEPTH, MOST_MB, MOST_MS } from "./constants.ts";
import type { NodeSnapshot, PinId } from "./policy.ts";
import { isNumber, isRecord, isStrings } from "./saved.ts";
import type { TreeNode } from "./node-tree.ts";

/** More zygotes than any tree has had. */
const MOST_WISHES = 4_096;

/** A zygote that there was before the restart. */
export interface Wish {
  readonly parent: Wish | undefined;
  readonly pins: readonly PinId[];
  readonly mask: ReadonlySet<PinId>;
  /** As it was when it was restored. */
  readonly benefit: number;
  readonly ms: number;
  readonly mb: number;
  readonly candidates: Candidates;
  /** What it has become. */
  node: TreeNode | undefined;
}

/** The tree as it was before the restart, as far as it has not been built again. */
export class Wishes {
  #waiting: Wish[] = [];
  readonly #restoredMs: number;

  constructor(wishes: readonly Wish[] = [], restoredMs = 0) {
    this.#waiting = [...wishes];
    this.#restoredMs = restoredMs;
  }

  /** The one of the most benefit per MB that could be built now: its parent is ready. Those that cannot be are dropped. */
  next(freeMb: number, allowed: (wish: Wish) => boolean): Wish | undefined {
    this.#drop((wish) => isLost(wish) || wish.mb > freeMb || !allowed(wish));
    let best: Wish | undefined;
    for (const wish of this.#waiting) {
      if (wish.parent !== undefined && wish.parent.node?.state !== "ready") continue;
      if (best === undefined || wish.benefit / wish.mb > best.benefit / best.mb) best = wish;
    }
    return best;
  }

  /** It is being built, or is there. */
  fulfil(wish: Wish, node: TreeNode): void {
    wish.node = node;
    this.#waiting = this.#waiting.filter((other) => other !== wish);
  }

  /** Those that are left, parents before their children. */
  get waiting(): readonly Wish[] {
    this.#drop(isLost);
    return this.#waiting;
  }

  benefit(wish: Wish, nowMs: number, tauMs: number): number {
    return wish.benefit * Math.exp((this.#restoredMs - nowMs) / tauMs);
  }

  snapshot(nowMs: number, tauMs: number): NodeSnapshot[] {
    const names = new Map(this.#waiting.map((wish, index) => [wish, `w${index + 1}`]));
    return this.#waiting.map((wish) => ({
      node: names.get(wish) as string,
      parent: wish.parent === undefined ? undefined : (wish.parent.node?.id ?? names.get(wish.parent)),
      state: "wished" as const,
      pins: wish.pins,
      ms: wish.ms,
      mb: wish.mb,
      benefit: this.benefit(wish, nowMs, tauMs),
      uses: 0,
    }));
  }

  /** With those below them. */
  #drop(condition: (wish: Wish) => boolean): void {
    const dropped = new Set<Wish>();
    this.#waiting = this.#waiting.filter((wish) => {
      if (!condition(wish) && (wish.parent === undefined || !dropped.has(wish.parent))) return true;
      dropped.add(wish);
      return false;
    });
  }
}

/** Its parent was built, and is gone again. */
const isLost = ({ parent }: Wish): boolean => parent?.node?.state === "gone";

/** Zygotes, and those still wished for, in one list in which each names its parent by its place; -1 is the root. */
export const saveWishes = (
  nodes: readonly { readonly node: TreeNode; readonly benefit: number; readonly candidates: unknown }[],
  wishes: Wishes,
  nowMs: number,
  tauMs: number,
): unknown => {
  const places = new Map<TreeNode | Wish | undefined, number>([[undefined, -1]]);
  const list: unknown[] = [];
  const add = (
    one: TreeNode | Wish,
    parent: TreeNode | Wish | undefined,
    benefit: number,
    candidates: unknown,
  ): void => {
    places.set(one, list.length);
    const { pins, ms, mb } = one;
    list.push({ parent: places.get(parent), pins, ms, mb, benefit: Math.max(benefit, 0), candidates });
  };
  for (const { node, benefit, candidates } of nodes) add(node, node.parent, benefit, candidates);
  for (const wish of wishes.waiting) {
    const parent = wish.parent?.node ?? wish.parent;
    add(wish, parent, wishes.benefit(wish, nowMs, tauMs), wish.candidates.save(nowMs));
  }
  return list;
};

/** What was saved of the nodes, as wishes; undefined if it is something else. */
export const parseWishes = (saved: unknown, tauMs: number, nowMs: number): Wish[] | undefined => {
  if (!Array.isArray(saved) || saved.length > MOST_WISHES) return undefined;
  const wishes: Wish[] = [];
  for (const entry of saved as unknown[]) {
    const wish = parseWish(entry, wishes, tauMs, nowMs);
    if (wish === undefined) return undefined;
    wishes.push(wish);
  }
  return wishes;
};

const parseWish = (
  entry: unknown,
  before: readonly Wish[],
  tauMs: number,
  nowMs: number,
): Wish | undefined => {
  if (!isRecord(entry)) return undefined;
  const { parent: place, pins, benefit, ms, mb } = entry;
  if (!isStrings(pins) || pins.length === 0 || !isNumber(benefit) || !isNumber(ms) || !isNumber(mb))
    return undefined;
  const parent = place === -1 ? undefined : before[place as number];
  if (parent === undefined && place !== -1) return undefined;
  const candidates = Candidates.restore(entry["candidates"], tauMs, nowMs);
  const mask = new Set([...(parent?.mask ?? []), ...pins]);
  if (candidates === undefined || depthOf(parent) >= MOST_DEPTH) return undefined;
  return {
    parent,
    pins,
    mask,
    benefit,
    ms: clamp(ms, MOST_MS),
    mb: Math.max(clamp(mb, MOST_MB), LEAST_NODE_MB),
    candidates,
    node: undefined,
  };
};

const depthOf = (wish: Wish | undefined): number => {
  let depth = 0;
  for (let above = wish; above !== undefined; above = above.parent) depth += 1;
  return depth;
};
