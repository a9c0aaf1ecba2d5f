import { isOlError, type Logger, messageOf, type NetworkClass } from "@ol/common";
import {
  type AcquireOptions,
  parseImports,
  type Sandbox,
  type SandboxPool,
  type SandboxSpec,
} from "@ol/sandbox";

import type { InstalledSet } from "../packages/package-source.ts";
import type { NodeId, PinId, PinReport, PolicySnapshot, ZygotePolicy } from "./policy.ts";
import type { StateStore } from "./state-store.ts";
import { type BuildCounts, ZygoteTree } from "./zygote-tree.ts";

/** What a keeper is made from. */
export interface ZygoteKeeperOptions {
  /** Where zygotes and sandboxes are made. */
  readonly pool: SandboxPool;
  /** Makes the policy of one network class's tree. */
  readonly makePolicy: (network: NetworkClass) => ZygotePolicy;
  /** Where what policies know is kept; default: nowhere. */
  readonly state?: StateStore;
  /** Hears of zygotes that are made, and of those that cannot be. */
  readonly logger: Logger;
}

/** `hit`: forked from a zygote with all its packages · `partial`: with some · `miss`: from the plain interpreter. */
export type ZygoteUse = "hit" | "partial" | "miss";

/** What a sandbox was forked from. */
export interface Origin {
  /** Undefined: the plain interpreter. */
  readonly node: NodeId | undefined;
  readonly use: ZygoteUse;
  /** What it imported itself while it loaded its code, as it says; undefined until then. */
  costs: ReadonlyMap<PinId, PinReport> | undefined;
}

/** One network class's zygotes, for people. */
export interface ZygoteTreeStats extends Omit<PolicySnapshot, "excluded">, BuildCounts {
  readonly network: NetworkClass;
  /** Packages that are kept out of zygotes, each with the reason. */
  readonly excluded: Readonly<Record<PinId, string>>;
}

/** What zygotes there are, and of what use they were. */
export interface ZygoteStats {
  /** Sandboxes of lambdas with packages, by what they were forked from. */
  readonly uses: Readonly<Record<ZygoteUse, number>>;
  readonly trees: readonly ZygoteTreeStats[];
}

/** A sandbox that is on its way. */
interface Starting {
  readonly tree: ZygoteTree;
  readonly packages: InstalledSet;
  readonly origin: Origin;
}

const SAVE_MS = 60_000;
const VERSION = 1;

/** Forks sandboxes from the zygotes that suit them, and has the policy hear of how that went. */
export class ZygoteKeeper {
  readonly #options: ZygoteKeeperOptions;
  readonly #trees = new Map<NetworkClass, ZygoteTree>();
  #makePolicy: ZygoteKeeperOptions["makePolicy"];
  readonly #starting = new WeakMap<Sandbox, Starting>();
  readonly #origins = new WeakMap<Sandbox, Origin>();
  readonly #uses: Record<ZygoteUse, number> = { hit: 0, partial: 0, miss: 0 };
  readonly #unlisten: readonly (() => void)[];
  readonly #saver: NodeJS.Timeout;
  #made = 0;

  /** Takes up what an earlier keeper saved. */
  static async create(options: ZygoteKeeperOptions): Promise<ZygoteKeeper> {
    const keeper = new ZygoteKeeper(options);
    await keeper.#restore();
    return keeper;
  }

  private constructor(options: ZygoteKeeperOptions) {
    this.#options = options;
    this.#makePolicy = options.makePolicy;
    const { pool } = options;
    this.#unlisten = [
      pool.on("guest", (sandbox, name, body) => {
        if (name === "imports") this.#imported(sandbox, body);
      }),
      pool.on("ready", (sandbox) => this.#ready(sandbox)),
      pool.on("zygoteGone", (id) => {
        for (const tree of this.#trees.values()) tree.zygoteGone(id);
      }),
    ];
    this.#saver = setInterval(() => void this.save(), SAVE_MS).unref();
  }

  /** As the pool's `acquire`, from the zygote that spares the most. One that dies meanwhile is done without. */
  async acquire(spec: SandboxSpec, packages: InstalledSet, options: AcquireOptions): Promise<Sandbox> {
    const { pool } = this.#options;
    if (packages.packages.length === 0) return pool.acquire(spec, options);
    const tree = this.#treeOf(spec.network);
    const choice = tree.choose(packages);
    if (choice === undefined)
      return this.#began(await pool.acquire(spec, options), tree, packages, undefined);
    try {
      const sandbox = await pool.acquire({ ...spec, zygote: choice.zygote }, options);
      return this.#began(sandbox, tree, packages, choice.node);
    } catch (error) {
      if (!isOlError(error, "OL_SANDBOX_NO_ZYGOTE")) throw error;
      return this.#began(await pool.acquire(spec, options), tree, packages, undefined);
    }
  }

  /** Whether a zygote of that network has all of these packages. */
  covers(network: NetworkClass, packages: InstalledSet): boolean {
    if (packages.packages.length === 0) return false;
    const tree = this.#trees.get(network);
    const choice = tree?.choose(packages);
    return tree !== undefined && choice !== undefined && tree.has(choice.node, packages);
  }

  /** What a sandbox was forked from; undefined for one without packages. */
  originOf(sandbox: Sandbox): Origin | undefined {
    return this.#origins.get(sandbox);
  }

  /** Ends all zygotes and goes on with other policies. Sandboxes live on. */
  async replace(makePolicy: ZygoteKeeperOptions["makePolicy"]): Promise<void> {
    this.#makePolicy = makePolicy;
    const trees = [...this.#trees.values()];
    this.#trees.clear();
    await Promise.all(trees.map((tree) => tree.close()));
  }

  /** A snapshot of its trees and their use. */
  stats(): ZygoteStats {
    return {
      uses: { ...this.#uses },
      trees: [...this.#trees.values()].map((tree) => {
        const snapshot = tree.snapshot();
        return { network: tree.network, ...snapshot, excluded: Object.fromEntries(snapshot.excluded) };
      }),
    };
  }

  /** Writes down what the policies know. Never rejects. */
  async save(): Promise<void> {
    const { state, logger } = this.#options;
    if (state === undefined) return;
    const trees = Object.fromEntries([...this.#trees].map(([network, tree]) => [network, tree.save()]));
    try {
      await state.save({ version: VERSION, trees });
    } catch (error) {
      logger.warn("what is known of zygotes could not be saved", { error: messageOf(error) });
    }
  }

  /** Saves, and ends all zygotes. */
  async close(): Promise<void> {
    clearInterval(this.#saver);
    for (const unlisten of this.#unlisten) unlisten();
    await this.save();
    await Promise.all([...this.#trees.values()].map((tree) => tree.close()));
  }

  async #restore(): Promise<void> {
    const { state, logger } = this.#options;
    try {
      const saved = (await state?.load()) as { version?: unknown; trees?: unknown } | undefined;
      if (saved?.version !== VERSION || typeof saved.trees !== "object" || saved.trees === null) return;
      for (const [network, tree] of Object.entries(saved.trees)) {
        if (network !== "host" && network !== "outbound" && network !== "none") continue;
        this.#treeOf(network).restore(tree);
      }
    } catch (error) {
      logger.warn("what was known of zygotes cannot be read; they grow anew", { error: messageOf(error) });
    }
  }

  #treeOf(network: NetworkClass): ZygoteTree {
    let tree = this.#trees.get(network);
    if (tree === undefined) {
      this.#made += 1;
      const { pool, logger } = this.#options;
      const prefix = `${network}-${this.#made}`;
      tree = new ZygoteTree({ pool, network, policy: this.#makePolicy(network), prefix, logger });
      this.#trees.set(network, tree);
    }
    return tree;
  }

  #began(sandbox: Sandbox, tree: ZygoteTree, packages: InstalledSet, node: NodeId | undefined): Sandbox {
    const use = node === undefined ? "miss" : tree.has(node, packages) ? "hit" : "partial";
    this.#uses[use] += 1;
    const origin: Origin = { node, use, costs: undefined };
    this.#origins.set(sandbox, origin);
    const starting = { tree, packages, origin };
    // It may have loaded its code already.
    if (sandbox.state === "starting") this.#starting.set(sandbox, starting);
    else this.#started(starting);
    return sandbox;
  }

  #imported(sandbox: Sandbox, body: Buffer): void {
    const starting = this.#starting.get(sandbox);
    if (starting === undefined) return;
    const report = parseImports(body, sandbox.meta.packages ?? []);
    if (report === undefined) return;
    const ids = new Map(starting.packages.packages.map(({ directory, id }) => [directory, id]));
    starting.origin.costs = new Map(
      report.packages.flatMap(({ directory, ms, kb, modules }) => {
        const id = ids.get(directory);
        return id === undefined ? [] : [[id, { ms, mb: kb / 1024, modules }] as const];
      }),
    );
  }

  #ready(sandbox: Sandbox): void {
    const starting = this.#starting.get(sandbox);
    if (starting === undefined) return;
    this.#starting.delete(sandbox);
    this.#started(starting);
  }

  #started({ tree, packages, origin: { node, costs } }: Starting): void {
    if (this.#trees.get(tree.network) === tree) tree.started(packages, node, costs);
  }
}
