import {
  type Document,
  LineCounter,
  type Node,
  type Pair,
  type YAMLMap,
  isAlias,
  isMap,
  isNode,
  isScalar,
  parseDocument,
  visit,
} from "yaml";

import { MAX_PROBLEMS, Problems, shown } from "./problems.ts";

/** An ol.yaml has a few keys and at most 32 KiB of environment. */
export const MAX_YAML_BYTES: number = 64 * 1024;

/** One key of a mapping with its value. */
export interface YamlEntry {
  readonly key: string;
  /** The path to the key, for messages: `limits.mem_mb`. */
  readonly path: string;
  readonly keyNode: Node;
  readonly value: Node | undefined;
}

/** A scalar's own words (`1.10` stays `1.10`), or undefined for anything that is no value. */
export const textOf = (node: Node | null | undefined): string | undefined => {
  if (!isScalar(node) || node.value === null) return undefined;
  return typeof node.value === "string" ? node.value : (node.source ?? JSON.stringify(node.value));
};

/**
 * A YAML text whose mistakes are collected, each as one line `file:line: key: what, why, what to do`. What
 * makes YAML dangerous or slow is refused before anything is evaluated: size, anchors, aliases, tags, depth.
 */
export class YamlSource {
  readonly #lines = new LineCounter();
  readonly #problems: Problems;

  constructor(file: string) {
    this.#problems = new Problems(file);
  }

  /** Notes a mistake at a node, or at a place in the text. */
  problem(at: Node | number | undefined, path: string, message: string): void {
    const offset = typeof at === "number" ? at : (at?.range?.[0] ?? 0);
    const line = Math.max(1, this.#lines.linePos(offset).line);
    this.#problems.add(line, path === "" ? message : `${path}: ${message}`);
  }

  /** The content of the document; undefined if it is empty or too broken to look at. */
  parse(text: string): Node | undefined {
    if (Buffer.byteLength(text) > MAX_YAML_BYTES) {
      this.problem(0, "", `the file is larger than ${MAX_YAML_BYTES / 1024} KiB; make it shorter`);
      return undefined;
    }
    try {
      return this.#parse(text);
    } catch (error) {
      // The parser is recursive: thousands of opening brackets exhaust the stack.
      if (!(error instanceof RangeError)) throw error;
      this.problem(0, "", "values are nested too deeply; ol.yaml needs at most four levels");
      return undefined;
    }
  }

  #parse(text: string): Node | undefined {
    const document = parseDocument(text.replace(/^\uFEFF/u, ""), {
      lineCounter: this.#lines,
      prettyErrors: false,
      // Checked by `entries`, in linear time and with our own words.
      uniqueKeys: false,
      version: "1.2",
      schema: "core",
      merge: false,
      // Not "silent": that hides a second document.
      logLevel: "error",
    });
    for (const error of document.errors.slice(0, MAX_PROBLEMS))
      this.problem(error.pos[0], "", `not valid YAML: ${error.message.split("\n", 1)[0]}`);
    if (document.errors.length > 0 || this.#hasForbidden(document)) return undefined;
    const content: unknown = document.contents;
    if (!isNode(content) || (isScalar(content) && content.value === null)) return undefined;
    return content;
  }

  #hasForbidden(document: Document): boolean {
    const before = this.#problems.count;
    visit(document, (_key, node) => {
      if (this.#problems.count - before >= MAX_PROBLEMS) return visit.BREAK;
      if (isAlias(node)) this.problem(node, "", "aliases (*name) are not supported; write the value out");
      else if (isNode(node)) {
        if (node.anchor !== undefined)
          this.problem(node, "", "anchors (&name) are not supported; remove the anchor");
        if (node.tag !== undefined && node.tag !== "") this.#tag(node);
      }
      return undefined;
    });
    return this.#problems.count > before;
  }

  #tag(node: Node): void {
    this.problem(node, "", `tags (${shown(node.tag)}) are not supported; remove the tag`);
  }

  /** The entries of a mapping; anything else, and a key twice, is a mistake. `owner` is the key it belongs to. */
  entries(node: Node | undefined, path: string, expected: string, owner?: Node): readonly YamlEntry[] {
    if (!isMap(node)) {
      this.problem(node ?? owner, path, `must be ${expected}`);
      return [];
    }
    const seen = new Map<string, YamlEntry>();
    for (const pair of (node as YAMLMap<Node, Node | null>).items) this.#entry(pair, path, seen);
    return [...seen.values()];
  }

  #entry(pair: Pair<Node, Node | null>, path: string, seen: Map<string, YamlEntry>): void {
    const key = textOf(pair.key);
    if (key === undefined) {
      this.problem(pair.key, path, "a key must be a plain word");
      return;
    }
    const entry: YamlEntry = {
      key,
      path: path === "" ? key : `${path}.${key}`,
      keyNode: pair.key,
      value: pair.value ?? undefined,
    };
    if (seen.has(key)) this.problem(pair.key, entry.path, "is there twice; keep one");
    else seen.set(key, entry);
  }

  /** Fails with OL_BUNDLE_BAD_CONFIG if any mistake was noted, all of them in the order of the file. */
  assertSound(): void {
    this.#problems.assertNone("OL_BUNDLE_BAD_CONFIG");
  }
}
