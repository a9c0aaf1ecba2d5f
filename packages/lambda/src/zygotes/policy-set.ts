import type { InstalledSet } from "../packages/package-source.ts";
import type { PackageSet } from "./policy.ts";

const known = new WeakMap<InstalledSet, PackageSet>();

/** A lambda's packages as policies and traces see them. */
export const policySet = (packages: InstalledSet): PackageSet => {
  let set = known.get(packages);
  if (set === undefined) {
    set = asPolicySees(packages);
    known.set(packages, set);
  }
  return set;
};

const asPolicySees = ({ key, packages }: InstalledSet): PackageSet => {
  const ids = new Map(packages.map(({ name, id }) => [name, id]));
  return {
    key,
    pins: packages.map(({ id }) => id),
    requires: new Map(
      packages.map(({ id, requires }) => [id, requires.flatMap((name) => ids.get(name) ?? [])]),
    ),
    provides: new Map(packages.map(({ id, modules }) => [id, modules])),
  };
};
