import { lambdaError } from "../errors.ts";
import { MOST_DEPTH } from "./constants.ts";
import { isRecord } from "./saved.ts";

/** A tree as people write it, and as the original has it. */
export interface ZygoteTreeJson {
  /** Names, or `name==version`; empty in the root. */
  readonly packages: readonly string[];
  readonly children: readonly ZygoteTreeJson[];
}

/** A package that a zygote is to have. */
export interface WantedPackage {
  /** As the index has it: lower case, words joined by `-`. */
  readonly name: string;
  /** Undefined: whatever version the lambda has. */
  readonly version: string | undefined;
}

/** A zygote of a tree that was written by hand, or fitted. */
export interface PlannedNode {
  readonly packages: readonly WantedPackage[];
  readonly children: readonly PlannedNode[];
}

/** More zygotes than any machine would have. */
const MOST_NODES = 10_000;
/** What the original's trees have besides: how they were made. */
const IGNORED = new Set(["split_generation"]);
const PACKAGE = /^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:==([A-Za-z0-9][A-Za-z0-9._+!-]*))?$/u;

/** As in PEP 503. */
export const normalName = (name: string): string => name.replace(/[-_.]+/gu, "-").toLowerCase();

const bad = (path: string, what: string): Error =>
  lambdaError(
    "OL_LAMBDA_BAD_ZYGOTE_TREE",
    `import_cache_tree${path}: ${what}. A tree is {"packages": [names], "children": [trees]}.`,
    { details: { path } },
  );

const parsePackage = (value: unknown, path: string): WantedPackage => {
  if (typeof value !== "string") throw bad(path, "this is not the name of a package");
  const [, name, version] = PACKAGE.exec(value) ?? [];
  if (name === undefined)
    throw bad(path, `${JSON.stringify(value)} is neither a package's name nor name==version`);
  return { name: normalName(name), version };
};

/** Parses what stands at one place after the other, and counts. */
class TreeParser {
  #nodes = 0;

  parse(value: unknown, path: string, depth: number): PlannedNode {
    if (!isRecord(value)) throw bad(path, "this is not an object");
    this.#nodes += 1;
    if (this.#nodes > MOST_NODES) throw bad(path, `there are more than ${MOST_NODES} zygotes`);
    if (depth > MOST_DEPTH) throw bad(path, `zygotes nest ${MOST_DEPTH} deep at most`);
    const unknown = Object.keys(value).find(
      (key) => !["packages", "children"].includes(key) && !IGNORED.has(key),
    );
    if (unknown !== undefined) throw bad(path, `there is no key ${JSON.stringify(unknown)}`);
    const { packages = [], children = [] } = value;
    if (!Array.isArray(packages)) throw bad(`${path}.packages`, "this is not a list");
    if (!Array.isArray(children)) throw bad(`${path}.children`, "this is not a list");
    if (depth === 0 && packages.length > 0)
      throw bad(
        `${path}.packages`,
        "the root has none, since every lambda is forked from it; put them into a child",
      );
    if (depth > 0 && packages.length === 0)
      throw bad(`${path}.packages`, "a zygote without a package is of no use");
    return {
      packages: packages.map((one: unknown, place) => parsePackage(one, `${path}.packages[${place}]`)),
      children: children.map((one: unknown, place) =>
        this.parse(one, `${path}.children[${place}]`, depth + 1),
      ),
    };
  }
}

/** Fails with OL_LAMBDA_BAD_ZYGOTE_TREE, which names the place in the tree. */
export const parseZygoteTree = (value: unknown): PlannedNode => new TreeParser().parse(value, "", 0);
