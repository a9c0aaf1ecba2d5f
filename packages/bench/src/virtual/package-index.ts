import type { InstalledPackage, InstalledSet, LambdaCode } from "@ol/lambda";

import { nameOf, pinOf } from "../zygotes/data.ts";
import type { PackageCosts, VirtualLambda } from "./lambdas.ts";

export type Requirement = NonNullable<LambdaCode["requirements"]>[number];

/** What was not measured is a small package of one module. */
const UNKNOWN = { ms: 1, mb: 0.3, top: [], requires: [] };

interface Installed {
  readonly ms: number;
  readonly mb: number;
  readonly modules: readonly string[];
}

/** The packages of some lambdas, all of them installed. */
export class PackageIndex {
  readonly #costs: PackageCosts;
  readonly #sets = new Map<string, InstalledSet>();
  /** By directory. */
  readonly #packages = new Map<string, Installed>();

  constructor(lambdas: readonly VirtualLambda[], costs: PackageCosts) {
    this.#costs = costs;
    // Sets that are equal are one to whoever looks for a zygote.
    const known = new Map<string, InstalledSet>();
    for (const { name, pins } of lambdas) {
      const key = [...pins].sort().join(" ");
      const set = known.get(key) ?? { key, packages: [...pins].sort().map((pin) => this.#install(pin)) };
      known.set(key, set);
      this.#sets.set(name, set);
    }
  }

  setOf(lambda: string): InstalledSet {
    return this.#sets.get(lambda) ?? { key: "", packages: [] };
  }

  /** What importing the packages in these directories takes, without what zygotes have imported already. */
  costOf(
    directories: readonly string[],
    without: ReadonlySet<string>,
  ): { readonly ms: number; readonly mb: number } {
    let [ms, mb] = [0, 0];
    for (const directory of directories) {
      if (without.has(directory)) continue;
      ms += this.#packages.get(directory)?.ms ?? 0;
      mb += this.#packages.get(directory)?.mb ?? 0;
    }
    return { ms, mb };
  }

  /** What can be imported from a package's directory. */
  modulesOf(directory: string): readonly string[] {
    return this.#packages.get(directory)?.modules ?? [];
  }

  #install(requirement: string): InstalledPackage {
    const name = nameOf(requirement);
    const id = pinOf(requirement);
    const directory = id.replaceAll("==", "-").replaceAll("+", "-");
    const { ms, mb, top, requires } = this.#costs.get(name) ?? UNKNOWN;
    const version = requirement.slice(name.length + 2);
    const modules = top.length > 0 ? top : [name.replaceAll(/[^A-Za-z0-9_]/gu, "_")];
    this.#packages.set(directory, { ms, mb, modules });
    return { name, version, hashes: [], requires: [...requires], id, directory, modules };
  }
}

/** What a lambda's packages.txt says. */
export const requirementsOf = ({ pins }: VirtualLambda): readonly Requirement[] =>
  pins.map((text, at) => {
    const name = nameOf(text);
    const specifier = text.slice(name.length);
    return { name, extras: [], specifier, marker: "", text, modules: [], hashes: [], line: at + 1 };
  });
