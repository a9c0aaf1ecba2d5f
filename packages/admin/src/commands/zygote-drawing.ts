import { escapeControls } from "../text.ts";

type Fields = Readonly<Record<string, unknown>>;

/** A zygote with packages, as a worker's /stats tells. */
export interface ZygoteNode {
  readonly node: string;
  readonly parent: string | undefined;
  readonly state: string;
  /** name==version */
  readonly packages: readonly string[];
  readonly ms: number;
  readonly mb: number;
  readonly uses: number;
}

/** The zygotes of one network class of one worker. */
export interface ZygoteTreeLine {
  readonly worker: string;
  readonly network: string;
  readonly nodes: readonly ZygoteNode[];
  readonly usedMb: number;
  readonly budgetMb: number;
  /** Packages kept out, by name==version. */
  readonly excluded: Readonly<Record<string, string>>;
}

/** What a worker forked its sandboxes from. */
export interface ZygoteUses {
  readonly hit: number;
  readonly partial: number;
  readonly miss: number;
}

const fieldsOf = (value: unknown): Fields =>
  (typeof value === "object" && value !== null ? value : {}) as Fields;
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const text = (value: unknown): string => escapeControls(typeof value === "string" ? value : "?");
const number = (value: unknown): number => (typeof value === "number" && Number.isFinite(value) ? value : 0);
/** Without the hash, which tells apart what nobody reads. */
const packageOf = (pin: unknown): string => text(pin).replace(/\+[0-9a-f]{12}$/u, "");

/** What a worker of any version says of its zygotes. */
export const zygotesIn = (
  worker: string,
  stats: unknown,
): { readonly uses: ZygoteUses; readonly trees: readonly ZygoteTreeLine[] } => {
  const zygotes = fieldsOf(fieldsOf(stats)["zygotes"]);
  const { hit, partial, miss } = fieldsOf(zygotes["uses"]);
  const trees = listOf(zygotes["trees"]).map((entry): ZygoteTreeLine => {
    const tree = fieldsOf(entry);
    const excluded = Object.entries(fieldsOf(tree["excluded"]));
    return {
      worker,
      network: text(tree["network"]),
      nodes: listOf(tree["nodes"]).map((one) => nodeOf(fieldsOf(one))),
      usedMb: number(tree["usedMb"]),
      budgetMb: number(tree["budgetMb"]),
      excluded: Object.fromEntries(excluded.map(([pin, reason]) => [packageOf(pin), text(reason)])),
    };
  });
  return { uses: { hit: number(hit), partial: number(partial), miss: number(miss) }, trees };
};

const nodeOf = (one: Fields): ZygoteNode => ({
  node: text(one["node"]),
  parent: one["parent"] === undefined ? undefined : text(one["parent"]),
  state: text(one["state"]),
  packages: listOf(one["pins"]).map(packageOf),
  ms: number(one["ms"]),
  mb: number(one["mb"]),
  uses: number(one["uses"]),
});

/** One line for each zygote, below its parent. */
export const drawTree = (tree: ZygoteTreeLine): readonly string[] => {
  const lines = ["python"];
  const known = new Set(tree.nodes.map(({ node }) => node));
  const draw = (parent: string | undefined, indent: string): void => {
    const children = tree.nodes.filter((one) =>
      parent === undefined ? one.parent === undefined || !known.has(one.parent) : one.parent === parent,
    );
    for (const [index, child] of children.entries()) {
      const last = index === children.length - 1;
      lines.push(`${indent}${last ? "└─ " : "├─ "}${lineOf(child)}`);
      // A stranger's tree may be none.
      if (indent.length < MOST_INDENT) draw(child.node, `${indent}${last ? "   " : "│  "}`);
    }
  };
  draw(undefined, "");
  return lines;
};

const MOST_INDENT = 100;

const lineOf = ({ packages, ms, mb, uses, state }: ZygoteNode): string => {
  const costs = `spares ${Math.round(ms)} ms, holds ${mb.toFixed(1)} MB`;
  const said = state === "ready" ? `${uses} forked` : state;
  return `${packages.join(" ")}  (${costs}, ${said})`;
};
