import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

import {
  BALANCER_SCHEMA,
  type KeySchema,
  REGISTRY_SCHEMA,
  WORKER_SCHEMA,
  describeKeys,
  problemsIn,
  renderConfigurationDocs,
} from "../../src/index.ts";

test("docs/configuration.md says what the schema says; `pnpm --filter @ol/config run docs` writes it", () => {
  const file = new URL("../../../../docs/configuration.md", import.meta.url);
  expect(readFileSync(file, "utf8")).toBe(renderConfigurationDocs());
});

test("every key has a description and a default, except groups", () => {
  const keys = [...describeKeys(), ...describeKeys(REGISTRY_SCHEMA), ...describeKeys(BALANCER_SCHEMA)];
  expect(keys.filter((key) => !key.description.endsWith("."))).toEqual([]);
  expect(keys.filter((key) => key.value !== "an object" && key.default === undefined)).toEqual([]);
});

const defaultsOf = (schema: KeySchema): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(schema.properties ?? {}).flatMap(([key, child]) => {
      if (child.properties !== undefined) return [[key, defaultsOf(child)]];
      return child.default === undefined ? [] : [[key, child.default]];
    }),
  );

test("every default is itself valid", () => {
  expect(problemsIn(defaultsOf(WORKER_SCHEMA))).toEqual([]);
  expect(problemsIn(defaultsOf(REGISTRY_SCHEMA), REGISTRY_SCHEMA)).toEqual([]);
  expect(problemsIn(defaultsOf(BALANCER_SCHEMA), BALANCER_SCHEMA)).toEqual([]);
});
