import { type LoadReport, readChanges, type WarmChange } from "@ol/common";

import type { FunctionFacts } from "../policies/policy.ts";

/** What a worker answers to GET /state. */
export interface StateReport {
  readonly load: LoadReport;
  readonly epoch: number;
  /** How long a call may wait on the worker before it begins, in ms. */
  readonly waitMs: number | undefined;
  /** Functions with a sandbox: all of them, or how that changed since the epoch that was asked about. */
  readonly warm: { readonly all: readonly string[] } | { readonly since: readonly WarmChange[] };
  /** Keys of the package sets that a zygote there has; undefined: as before. */
  readonly zygotes: readonly string[] | undefined;
  /** What is new of functions. */
  readonly functions: ReadonlyMap<string, FunctionFacts>;
}

type Fields = Readonly<Record<string, unknown>>;

/** Reads it; undefined if it is not what a worker of our version answers. `since` is the epoch that was asked about. */
export const parseState = (value: unknown, since: number | undefined): StateReport | undefined => {
  if (!isFields(value) || value["v"] !== 1) return undefined;
  const load = readLoad(value["load"]);
  const epoch = whole(value["epoch"]);
  if (load === undefined || epoch === undefined) return undefined;
  const warm = readWarm(value, since);
  const functions = readFunctions(value["functions"]);
  if (warm === undefined || functions === undefined) return undefined;
  const zygotes = value["zygotes"];
  if (zygotes !== undefined && !isTexts(zygotes)) return undefined;
  return { load, epoch, waitMs: amount(value["waitMs"]), warm, zygotes, functions };
};

const readWarm = (value: Fields, since: number | undefined): StateReport["warm"] | undefined => {
  const { warm, changes } = value;
  if (isTexts(warm)) return { all: warm };
  if (since === undefined || value["since"] !== since || !isTexts(changes)) return undefined;
  const read = readChanges(changes);
  return read === undefined ? undefined : { since: read };
};

const readLoad = (value: unknown): LoadReport | undefined => {
  if (!isFields(value)) return undefined;
  const [slots, busy, queue] = [whole(value["slots"]), whole(value["busy"]), whole(value["queue"])];
  const memory = amount(value["memory"]);
  const { draining } = value;
  if (slots === undefined || busy === undefined || queue === undefined || memory === undefined)
    return undefined;
  return typeof draining === "boolean" ? { slots, busy, queue, memory, draining } : undefined;
};

const readFunctions = (value: unknown): ReadonlyMap<string, FunctionFacts> | undefined => {
  const facts = new Map<string, FunctionFacts>();
  if (value === undefined) return facts;
  if (!Array.isArray(value)) return undefined;
  for (const one of value as readonly unknown[]) {
    if (!isFields(one)) return undefined;
    const { name, key } = one;
    const limitMs = amount(one["limitMs"]);
    if (typeof name !== "string" || limitMs === undefined) return undefined;
    facts.set(name, {
      key: typeof key === "string" && key !== "" ? key : undefined,
      limitMs,
      runMs: amount(one["runMs"]),
      startMs: amount(one["startMs"]),
    });
  }
  return facts;
};

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isTexts = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((one) => typeof one === "string");

const amount = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : undefined;

const whole = (value: unknown): number | undefined =>
  Number.isSafeInteger(value) ? amount(value) : undefined;
