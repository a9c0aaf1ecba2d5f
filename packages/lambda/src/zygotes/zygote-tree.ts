import { type Logger, messageOf, type NetworkClass } from "@ol/common";
import { type EngineZygote, type SandboxPool, unfitOf } from "@ol/sandbox";

import type { InstalledSet } from "../packages/package-source.ts";
import { GuardedPolicy } from "./guarded-policy.ts";
import type {
  Build,
  Decision,
  NodeId,
  PackageSet,
  PinId,
  PinReport,
  PolicySnapshot,
  Saved,
  ZygotePolicy,
} from "./policy.ts";
import { policySet } from "./policy-set.ts";

/** What a tree is made from. */
export interface ZygoteTreeOptions {
  readonly pool: SandboxPool;
  readonly network: NetworkClass;
  readonly policy: ZygotePolicy;
  /** Begins the names of its zygotes; no other tree's of this engine begin so. */
  readonly prefix: string;
  readonly logger: Logger;
}

/** What has become of a tree's builds. */
export interface BuildCounts {
  readonly built: number;
  readonly failed: number;
  /** Zygotes that ended without anybody's wish. */
  readonly lost: number;
}

const MEMORY_WAIT_MS = 10_000;
/** Importing takes more for a moment than it holds afterwards, and an estimate is one. */
const MEMORY_FACTOR = 2;
const MEMORY_MB = 64;
const PROCS = 64;
const CPU_PERCENT = 100;

/** The zygotes of one network class, as its policy wishes them: what it decides is done here, and what happens it is told. */
export class ZygoteTree {
  readonly network: NetworkClass;
  readonly #options: ZygoteTreeOptions;
  readonly #policy: ZygotePolicy;
  readonly #zygotes = new Map<NodeId, EngineZygote>();
  readonly #nodes = new Map<string, NodeId>();
  /** What may be imported in each zygote, its parents' packages included: all of it has to be the sandbox's too. */
  readonly #masks = new Map<NodeId, ReadonlySet<PinId>>();
  /** Of every pin that a set has named. */
  readonly #directories = new Map<PinId, string>();
  readonly #seen = new WeakSet<InstalledSet>();
  /** Pins whose zygote took more memory than it was given: how many times as much it is given next. */
  readonly #memoryFactors = new Map<string, number>();
  readonly #stop = new AbortController();
  #working: Promise<void> = Promise.resolve();
  #built = 0;
  #failed = 0;
  #lost = 0;

  constructor(options: ZygoteTreeOptions) {
    this.#options = options;
    this.network = options.network;
    this.#policy = new GuardedPolicy(options.policy, options.logger);
  }

  /** The zygote to fork a sandbox with these packages from, and the node that it is; undefined is the root. */
  choose(packages: InstalledSet): { readonly node: NodeId; readonly zygote: string } | undefined {
    const set = this.#setOf(packages);
    const node = this.#choose(set);
    const zygote = node === undefined ? undefined : this.#zygotes.get(node);
    return node === undefined || zygote === undefined ? undefined : { node, zygote: zygote.id };
  }

  /** What the policy says, which may be anybody's: it must not mix lambdas. */
  #choose(set: PackageSet): NodeId | undefined {
    const node = this.#policy.choose(set);
    const mask = node === undefined ? undefined : this.#masks.get(node);
    if (node === undefined || mask === undefined) return undefined;
    const pins = new Set(set.pins);
    for (const pin of mask) {
      if (pins.has(pin)) continue;
      this.#options.logger.error("the zygote policy chose a zygote with a package that is not declared", {
        zygote: node,
        package: pin,
      });
      return undefined;
    }
    return node;
  }

  /** Whether the zygote has all of these packages. */
  has(node: NodeId, packages: InstalledSet): boolean {
    return (this.#masks.get(node)?.size ?? 0) === packages.packages.length;
  }

  /** A sandbox has loaded its code. `costs` is what it says that it imported. */
  started(
    packages: InstalledSet,
    node: NodeId | undefined,
    costs: ReadonlyMap<PinId, PinReport> | undefined,
  ): void {
    const nowMs = performance.now();
    this.#do(this.#policy.started({ set: this.#setOf(packages), node, nowMs, costs }));
  }

  /** Of a zygote that the pool says is gone. */
  zygoteGone(id: string): void {
    const node = this.#nodes.get(id);
    if (node === undefined) return;
    this.#forget(node);
    this.#lost += 1;
    this.#options.logger.warn("a zygote ended by itself, or its memory was needed", { zygote: id });
    this.#do(this.#policy.gone(node, performance.now()));
  }

  save(): { readonly policy: Saved; readonly directories: Readonly<Record<PinId, string>> } {
    return {
      policy: this.#policy.save(performance.now()),
      directories: Object.fromEntries(this.#directories),
    };
  }

  /** Takes up what `save` returned, and begins to make the zygotes that there were. */
  restore(saved: unknown): void {
    const { policy, directories } = (saved ?? {}) as { policy?: unknown; directories?: unknown };
    if (policy === undefined || typeof directories !== "object" || directories === null) return;
    const problem = this.#policy.restore(policy, performance.now());
    if (problem !== undefined) {
      this.#options.logger.warn("the zygotes of the last run are not known; they grow anew", { problem });
      return;
    }
    for (const [pin, directory] of Object.entries(directories))
      if (typeof directory === "string") this.#directories.set(pin, directory);
    this.#do(this.#policy.next(performance.now()));
  }

  snapshot(): PolicySnapshot & BuildCounts {
    return {
      ...this.#policy.snapshot(performance.now()),
      built: this.#built,
      failed: this.#failed,
      lost: this.#lost,
    };
  }

  /** Makes no more zygotes and ends those that there are. Idempotent. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#working;
    const zygotes = [...this.#zygotes.values()];
    this.#zygotes.clear();
    this.#nodes.clear();
    await Promise.all(zygotes.map((zygote) => this.#kill(zygote)));
  }

  #setOf(packages: InstalledSet): PackageSet {
    if (!this.#seen.has(packages)) {
      this.#seen.add(packages);
      for (const { id, directory } of packages.packages) this.#directories.set(id, directory);
    }
    return policySet(packages);
  }

  #do({ evict, build }: Decision): void {
    if (this.#stop.signal.aborted) return;
    for (const node of evict) {
      const zygote = this.#zygotes.get(node);
      this.#forget(node);
      if (zygote !== undefined) void this.#kill(zygote);
    }
    // One at a time: the policy asks for no other before it has heard of this one.
    if (build !== undefined) this.#working = this.#build(build);
  }

  async #build(build: Build): Promise<void> {
    const { pool, network, logger } = this.#options;
    const { node, mask, modules, estimate, pins } = build;
    const id = `${this.#options.prefix}-${node}`;
    const key = pins.join(" ");
    const factor = this.#memoryFactors.get(key) ?? 1;
    // With its parent's, whatever the policy says: they are imported in it too.
    const above = build.parent === undefined ? undefined : this.#masks.get(build.parent);
    const allPins = new Set([...(above ?? []), ...mask]);
    try {
      const parent = build.parent === undefined ? undefined : this.#zygotes.get(build.parent);
      if (build.parent !== undefined && parent === undefined) throw new Error("its parent is gone");
      const zygote = await pool.createZygote(
        id,
        {
          ...(parent !== undefined && { parent: parent.id }),
          network,
          packages: mask.flatMap((pin) => this.#directories.get(pin) ?? []),
          modules,
          limits: {
            memoryMb: Math.ceil((estimate.mb * MEMORY_FACTOR + MEMORY_MB) * factor),
            procs: PROCS,
            cpuPercent: CPU_PERCENT,
            swappiness: 0,
            logMb: 0,
            scratchMb: 0,
          },
        },
        { signal: this.#stop.signal, deadlineMs: MEMORY_WAIT_MS },
      );
      this.#zygotes.set(node, zygote);
      this.#nodes.set(id, node);
      this.#masks.set(node, allPins);
      this.#built += 1;
      const { ms, memoryMb, sought } = zygote.import;
      logger.info("a zygote is ready", { zygote: id, packages: pins.join(" "), ms, memoryMb });
      this.#do(this.#policy.built(node, { ms, mb: memoryMb, sought }, performance.now()));
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.#failed += 1;
      const reason = messageOf(error);
      if (/memory/u.test(reason)) this.#memoryFactors.set(key, factor * 2);
      const directories = unfitOf(error);
      const unfit = mask.filter((pin) => directories.includes(this.#directories.get(pin) ?? ""));
      logger.info("a zygote could not be made", { zygote: id, packages: pins.join(" "), unfit, reason });
      this.#do(this.#policy.buildFailed(node, { unfit, reason }, performance.now()));
    }
  }

  #forget(node: NodeId): void {
    const zygote = this.#zygotes.get(node);
    if (zygote === undefined) return;
    this.#zygotes.delete(node);
    this.#nodes.delete(zygote.id);
    this.#masks.delete(node);
  }

  async #kill(zygote: EngineZygote): Promise<void> {
    try {
      await zygote.kill();
    } catch (error) {
      this.#options.logger.error("a zygote could not be ended", {
        zygote: zygote.id,
        error: messageOf(error),
      });
    }
  }
}
