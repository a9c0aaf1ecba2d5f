import { type LambdaLimits, LIMIT_KEYS, type LimitKey, type NetworkClass, nearest } from "@ol/common";
import { type Node, isScalar, isSeq } from "yaml";

import { shown } from "./problems.ts";
import { type YamlEntry, YamlSource, textOf } from "./yaml-source.ts";

/** What ol.yaml says about one lambda. What it leaves out, the worker's configuration decides. */
export interface LambdaConfig {
  readonly environment: Readonly<Record<string, string>>;
  readonly limits: Readonly<Partial<LambdaLimits>>;
  readonly network?: NetworkClass;
  /** Upper-case HTTP methods that are let through; undefined is all. */
  readonly methods?: readonly string[];
  /** False: a sandbox runs one call and is destroyed. */
  readonly reuseSandbox?: boolean;
  /** Sandboxes that are kept warm, called or not. */
  readonly minInstances?: number;
  /** Sandboxes at most. */
  readonly maxInstances?: number;
  /** Calls that may wait. */
  readonly queue?: number;
  /** Calls that one sandbox runs at once, if it is an ASGI app. */
  readonly concurrency?: number;
}

/** A lambda without ol.yaml. */
export const EMPTY_LAMBDA_CONFIG: LambdaConfig = { environment: {}, limits: {} };

/** The environment travels to the sandbox in one message of at most 64 KiB. */
const MAX_ENVIRONMENT_BYTES = 32 * 1024;
const MAX_VARIABLES = 256;
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/u;
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const;
const NETWORKS: readonly string[] = ["host", "outbound", "none"] satisfies NetworkClass[];

/** Keys whose value is a whole number. */
const NUMBERS = {
  min_instances: { field: "minInstances", minimum: 0, maximum: 1_000 },
  max_instances: { field: "maxInstances", minimum: 1, maximum: 1_000 },
  queue: { field: "queue", minimum: 0, maximum: 100_000 },
  concurrency: { field: "concurrency", minimum: 1, maximum: 1_000 },
} as const;
type NumberKey = keyof typeof NUMBERS;

/** Triggers that ol.yaml will have one day; naming them beats "unknown key". */
const LATER_TRIGGERS = ["cron", "kafka"];
const KEYS = [
  "environment",
  "limits",
  "network",
  "triggers",
  "runtime",
  "reuse-sandbox",
  ...Object.keys(NUMBERS),
];

const LATER = "is not supported yet in this version; remove it";

type Draft = { -readonly [Key in keyof LambdaConfig]: LambdaConfig[Key] } & {
  environment: Record<string, string>;
  limits: Partial<Record<keyof LambdaLimits, number>>;
};

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

/** What a number may be. */
type Range = Pick<LimitKey, "minimum" | "maximum" | "integer">;

const readNumber = (source: YamlSource, entry: YamlEntry, range: Range): number | undefined => {
  const value: unknown = isScalar(entry.value) ? entry.value.value : undefined;
  const sound =
    typeof value === "number" &&
    (range.integer ? Number.isSafeInteger(value) : Number.isFinite(value)) &&
    value >= range.minimum &&
    value <= range.maximum;
  if (sound) return value;
  const found = isScalar(entry.value) && value !== null ? `not ${shown(value)}` : "and it is not one";
  const kind = range.integer ? "a whole number" : "a number";
  source.problem(
    entry.value ?? entry.keyNode,
    entry.path,
    `must be ${kind} from ${range.minimum} to ${range.maximum}, ${found}`,
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
    const value = readNumber(source, item, limit);
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

const readReuse = (source: YamlSource, entry: YamlEntry, draft: Draft): void => {
  const value: unknown = isScalar(entry.value) ? entry.value.value : undefined;
  if (typeof value === "boolean") draft.reuseSandbox = value;
  else
    source.problem(
      entry.value ?? entry.keyNode,
      entry.path,
      `must be true or false, not ${shown(value ?? null)}`,
    );
};

const isNumberKey = (key: string): key is NumberKey => Object.hasOwn(NUMBERS, key);

const readCount = (source: YamlSource, entry: YamlEntry, key: NumberKey, draft: Draft): void => {
  const { field, minimum, maximum } = NUMBERS[key];
  const value = readNumber(source, entry, { minimum, maximum, integer: true });
  if (value === undefined) return;
  draft[field] = value;
  const { minInstances = 0, maxInstances = Number.POSITIVE_INFINITY } = draft;
  if (minInstances > maxInstances)
    source.problem(
      entry.value ?? entry.keyNode,
      entry.path,
      `min_instances (${minInstances}) may not be more than max_instances (${maxInstances})`,
    );
};

const readKey = (source: YamlSource, entry: YamlEntry, draft: Draft): void => {
  if (entry.key === "environment") readEnvironment(source, entry, draft);
  else if (entry.key === "limits") readLimits(source, entry, draft);
  else if (entry.key === "network") readNetwork(source, entry, draft);
  else if (entry.key === "triggers") readTriggers(source, entry, draft);
  else if (entry.key === "runtime") readRuntime(source, entry);
  else if (entry.key === "reuse-sandbox") readReuse(source, entry, draft);
  else if (isNumberKey(entry.key)) readCount(source, entry, entry.key, draft);
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
