import { type LambdaLimits, LIMIT_KEYS, type LimitKey, type NetworkClass, nearest } from "@ol/common";
import { type Node, isScalar, isSeq } from "yaml";

import { type YamlEntry, YamlSource, shown, textOf } from "./yaml-source.ts";

/** What ol.yaml says about one lambda. What it leaves out, the worker's configuration decides. */
export interface LambdaConfig {
  readonly environment: Readonly<Record<string, string>>;
  readonly limits: Readonly<Partial<LambdaLimits>>;
  readonly network?: NetworkClass;
  /** Upper-case HTTP methods that are let through; undefined is all. */
  readonly methods?: readonly string[];
}

/** A lambda without ol.yaml. */
export const EMPTY_LAMBDA_CONFIG: LambdaConfig = { environment: {}, limits: {} };

/** The environment travels to the sandbox in one message of at most 64 KiB. */
const MAX_ENVIRONMENT_BYTES = 32 * 1024;
const MAX_VARIABLES = 256;
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/u;
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const;
const NETWORKS: readonly string[] = ["host", "outbound", "none"] satisfies NetworkClass[];

/** Keys that ol.yaml will have one day; naming them beats "unknown key". */
const LATER_KEYS = ["reuse-sandbox", "min_instances", "max_instances", "queue", "concurrency"];
const LATER_TRIGGERS = ["cron", "kafka"];
const KEYS = ["environment", "limits", "network", "triggers", "runtime"];

const LATER = "is not supported yet in this version; remove it";

interface Draft {
  environment: Record<string, string>;
  limits: Partial<Record<keyof LambdaLimits, number>>;
  network?: NetworkClass;
  methods?: readonly string[];
}

const unknownKey = (source: YamlSource, entry: YamlEntry, known: readonly string[]): void => {
  const meant = nearest(entry.key, known);
  const advice =
    meant === undefined ? `known keys are ${known.join(", ")}` : `did you mean ${JSON.stringify(meant)}?`;
  source.problem(entry.keyNode, entry.path.slice(0, 80), `is not a known key; ${advice}`);
};

const readVariable = (source: YamlSource, entry: YamlEntry): string | undefined => {
  const text = textOf(entry.value);
  if (!VARIABLE.test(entry.key))
    source.problem(
      entry.keyNode,
      entry.path.slice(0, 80),
      "a variable's name has letters, digits and '_' only, and no digit first",
    );
  else if (text === undefined)
    source.problem(
      entry.value ?? entry.keyNode,
      entry.path,
      'must be one value, such as "text" or 1; write "" for an empty one',
    );
  else if (text.includes("\0")) source.problem(entry.value, entry.path, "may not hold a NUL character");
  else return text;
  return undefined;
};

const readEnvironment = (source: YamlSource, entry: YamlEntry, draft: Draft): void => {
  const variables = source.entries(entry.value, entry.path, "a mapping of NAME: value", entry.keyNode);
  if (variables.length > MAX_VARIABLES) {
    source.problem(entry.keyNode, entry.path, `has more than ${MAX_VARIABLES} variables`);
    return;
  }
  let bytes = 0;
  for (const variable of variables) {
    const value = readVariable(source, variable);
    if (value === undefined) continue;
    bytes += Buffer.byteLength(variable.key) + Buffer.byteLength(value) + 2;
    // Not an assignment: `__proto__` has to become an ordinary key.
    Object.defineProperty(draft.environment, variable.key, { value, enumerable: true });
  }
  if (bytes > MAX_ENVIRONMENT_BYTES)
    source.problem(
      entry.keyNode,
      entry.path,
      `names and values together are over ${MAX_ENVIRONMENT_BYTES / 1024} KiB; put large data into a file beside the code`,
    );
};

const readLimit = (source: YamlSource, entry: YamlEntry, limit: LimitKey): number | undefined => {
  const value: unknown = isScalar(entry.value) ? entry.value.value : undefined;
  const sound =
    typeof value === "number" &&
    (limit.integer ? Number.isSafeInteger(value) : Number.isFinite(value)) &&
    value >= limit.minimum &&
    value <= limit.maximum;
  if (sound) return value;
  const found = isScalar(entry.value) && value !== null ? `not ${shown(value)}` : "and it is not one";
  const kind = limit.integer ? "a whole number" : "a number";
  source.problem(
    entry.value ?? entry.keyNode,
    entry.path,
    `must be ${kind} from ${limit.minimum} to ${limit.maximum}, ${found}`,
  );
  return undefined;
};

const readLimits = (source: YamlSource, entry: YamlEntry, draft: Draft): void => {
  const keys = LIMIT_KEYS.map(({ key }) => key);
  const expected = `a mapping of limits (${keys.join(", ")})`;
  for (const item of source.entries(entry.value, entry.path, expected, entry.keyNode)) {
    const limit = LIMIT_KEYS.find(({ key }) => key === item.key);
    if (limit === undefined) {
      unknownKey(source, item, keys);
      continue;
    }
    const value = readLimit(source, item, limit);
    if (value !== undefined) draft.limits[limit.field] = value;
  }
};

const readNetwork = (source: YamlSource, entry: YamlEntry, draft: Draft): void => {
  const value = textOf(entry.value);
  if (value !== undefined && NETWORKS.includes(value)) draft.network = value as NetworkClass;
  else
    source.problem(
      entry.value ?? entry.keyNode,
      entry.path,
      `must be "host" (the machine's network), "outbound" or "none", not ${shown(value ?? null)}`,
    );
};

const readRuntime = (source: YamlSource, entry: YamlEntry): void => {
  const value = textOf(entry.value);
  if (value !== "python3")
    source.problem(
      entry.value ?? entry.keyNode,
      entry.path,
      `${shown(value ?? null)} is not supported yet in this version; write "python3" or leave it out`,
    );
};

const readMethod = (
  source: YamlSource,
  item: unknown,
  path: string,
  parent: YamlEntry,
): string | undefined => {
  let method: string | undefined;
  const node = item as Node | undefined;
  for (const entry of source.entries(node, path, "an entry such as - method: GET", parent.keyNode)) {
    if (entry.key !== "method") {
      unknownKey(source, entry, ["method"]);
      continue;
    }
    method = textOf(entry.value)?.toUpperCase();
    if (method === undefined || !(METHODS as readonly string[]).includes(method))
      source.problem(
        entry.value ?? entry.keyNode,
        entry.path,
        `must be one of ${METHODS.join(", ")}, not ${shown(textOf(entry.value) ?? null)}`,
      );
  }
  if (method === undefined)
    source.problem(node ?? parent.keyNode, path, "names no method; write - method: GET");
  return method;
};

const readHttp = (source: YamlSource, entry: YamlEntry, draft: Draft): void => {
  const value = entry.value;
  if (!isSeq(value) || value.items.length === 0) {
    source.problem(
      value ?? entry.keyNode,
      entry.path,
      "must be a list such as - method: GET; leave it out to let every method through",
    );
    return;
  }
  const methods = new Set<string>();
  for (const [index, item] of value.items.entries()) {
    const method = readMethod(source, item, `${entry.path}[${index}]`, entry);
    if (method !== undefined) methods.add(method);
  }
  draft.methods = [...methods];
};

const readTriggers = (source: YamlSource, entry: YamlEntry, draft: Draft): void => {
  for (const item of source.entries(entry.value, entry.path, "a mapping with the key http", entry.keyNode)) {
    if (item.key === "http") readHttp(source, item, draft);
    else if (LATER_TRIGGERS.includes(item.key)) source.problem(item.keyNode, item.path, LATER);
    else unknownKey(source, item, ["http"]);
  }
};

const readKey = (source: YamlSource, entry: YamlEntry, draft: Draft): void => {
  if (entry.key === "environment") readEnvironment(source, entry, draft);
  else if (entry.key === "limits") readLimits(source, entry, draft);
  else if (entry.key === "network") readNetwork(source, entry, draft);
  else if (entry.key === "triggers") readTriggers(source, entry, draft);
  else if (entry.key === "runtime") readRuntime(source, entry);
  else if (LATER_KEYS.includes(entry.key)) source.problem(entry.keyNode, entry.path, LATER);
  else unknownKey(source, entry, KEYS);
};

/**
 * Reads the text of an ol.yaml. `file` is how messages call it; nothing is opened. All mistakes come out
 * together in one OL_BUNDLE_BAD_CONFIG, one line each: file, line, key, what is wrong, what to write.
 */
export const parseLambdaConfig = (text: string, file: string): LambdaConfig => {
  const source = new YamlSource(file);
  const draft: Draft = { environment: {}, limits: {} };
  const content = source.parse(text);
  if (content !== undefined)
    for (const entry of source.entries(content, "", "a mapping of keys such as environment: and limits:"))
      readKey(source, entry, draft);
  source.assertSound();
  return draft;
};
