import * as fc from "fast-check";

import type { ListRequest, Preconditions } from "../../src/index.ts";
import { beginnings, keys } from "../support/arbitraries.ts";

/** One thing that is done to a store; uploads by the order in which they began. */
export type Step =
  | {
      readonly do: "put";
      readonly key: string;
      readonly content: string;
      readonly headers: Readonly<Record<string, string>>;
      readonly conditions: Preconditions;
    }
  | {
      readonly do: "copy";
      readonly key: string;
      readonly from: string;
      readonly headers: Readonly<Record<string, string>> | undefined;
      readonly conditions: Preconditions;
    }
  | { readonly do: "delete"; readonly key: string; readonly conditions: Preconditions }
  | { readonly do: "list"; readonly request: ListRequest }
  | { readonly do: "begin"; readonly key: string }
  | { readonly do: "part"; readonly upload: number; readonly number: number; readonly content: string }
  | { readonly do: "complete"; readonly upload: number; readonly numbers: readonly number[] }
  | { readonly do: "abort"; readonly upload: number }
  | { readonly do: "reopen" };

/** Few, so that steps meet. */
const someKeys = fc.oneof(fc.constantFrom("a", "a/b", "a/c", "../x", "."), keys);
const contents = fc.oneof(fc.constantFrom("", "one", "two"), fc.string({ maxLength: 20 }));
const headers = fc.constantFrom<Record<string, string>>(
  {},
  { "content-type": "text/plain", "x-amz-meta-é": "ü" },
);

/** `same` is the etag of what is there. */
const etags = fc.constantFrom(["*"], ["same"], ["0".repeat(32)], ["0".repeat(32), "same"]);
const conditions: fc.Arbitrary<Preconditions> = fc.oneof(
  { weight: 4, arbitrary: fc.constant({}) },
  { weight: 1, arbitrary: etags.map((ifMatch) => ({ ifMatch })) },
  { weight: 1, arbitrary: etags.map((ifNoneMatch) => ({ ifNoneMatch })) },
);

const upload = fc.nat({ max: 3 });
const number = fc.integer({ min: 1, max: 3 });
const request = fc.record({
  prefix: beginnings,
  delimiter: fc.constantFrom("", "/"),
  after: beginnings,
  limit: fc.nat({ max: 4 }),
});

const step = <Rest extends object>(
  name: Step["do"],
  rest: { [Key in keyof Rest]: fc.Arbitrary<Rest[Key]> },
) => fc.record({ do: fc.constant(name), ...rest }) as unknown as fc.Arbitrary<Step>;

export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: step("put", { key: someKeys, content: contents, headers, conditions }) },
    {
      weight: 2,
      arbitrary: step("copy", {
        key: someKeys,
        from: someKeys,
        headers: fc.option(headers, { nil: undefined }),
        conditions,
      }),
    },
    { weight: 3, arbitrary: step("delete", { key: someKeys, conditions }) },
    { weight: 3, arbitrary: step("list", { request }) },
    { weight: 2, arbitrary: step("begin", { key: someKeys }) },
    { weight: 5, arbitrary: step("part", { upload, number, content: contents }) },
    {
      weight: 3,
      arbitrary: step("complete", {
        upload,
        numbers: fc.uniqueArray(number, { minLength: 1, maxLength: 3 }),
      }),
    },
    { weight: 1, arbitrary: step("abort", { upload }) },
    { weight: 1, arbitrary: step("reopen", {}) },
  ),
  { minLength: 5, maxLength: 40 },
);
