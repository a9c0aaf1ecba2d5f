import { LATER_KEYS } from "./later.ts";
import { merged } from "./merge.ts";
import { type KeySchema, WORKER_SCHEMA } from "./schema.ts";
import type { WorkerTemplate } from "./template.ts";
import { assertNoProblems, problemsIn } from "./validate.ts";

/** Environment variables by name, as process.env has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** `limits.mem_mb` is OL_LIMITS_MEM_MB. */
export const variableOf = (path: string): string => `OL_${path.replaceAll(".", "_").toUpperCase()}`;

const parsedJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON: the text itself is judged by the schema, which says what is expected.
    return text;
  }
};

const valueOf = (text: string, schema: KeySchema): unknown => {
  if (schema.type === "string") return text;
  if (schema.type === "array" && !text.trimStart().startsWith("["))
    return text.split(",").flatMap((item) => (item.trim() === "" ? [] : [item.trim()]));
  return parsedJson(text);
};

interface Found {
  readonly path: string;
  readonly value: unknown;
}

const find = (environment: Environment, schema: KeySchema, parents: readonly string[]): Found[] =>
  Object.entries(schema.properties ?? {}).flatMap(([key, child]) => {
    const path = [...parents, key].join(".");
    const text = environment[variableOf(path)];
    const here = text === undefined ? [] : [{ path, value: valueOf(text, child) }];
    return [...here, ...find(environment, child, [...parents, key])];
  });

const nested = (path: string, value: unknown): Record<string, unknown> =>
  path
    .split(".")
    .reverse()
    .reduce<unknown>((inner, key) => ({ [key]: inner }), value) as Record<string, unknown>;

/**
 * The keys of `schema` that the environment sets: each by OL_<KEY> (`OL_WORKER_PORT`, `OL_LIMITS_MEM_MB`), objects as JSON,
 * lists as JSON or separated by commas. Other variables are not looked at. Fails with OL_CONFIG_INVALID.
 */
export const valuesFromEnvironment = (
  environment: Environment,
  schema: KeySchema,
): Record<string, unknown> => {
  let values: Record<string, unknown> = {};
  for (const { path, value } of find(environment, schema, [])) {
    const part = nested(path, value);
    assertNoProblems(problemsIn(part, schema), variableOf(path));
    values = merged(values, part);
  }
  return values;
};

/** The same of a worker. */
export const templateFromEnvironment = (environment: Environment): WorkerTemplate => {
  for (const path of LATER_KEYS)
    if (environment[variableOf(path)] !== undefined)
      assertNoProblems(["is not available in this version yet; unset it"], variableOf(path));
  return valuesFromEnvironment(environment, WORKER_SCHEMA);
};
