import type { Cost, NodeId, PackageSet, PinId } from "./zygotes/policy.ts";
import { isNumber, isRecord, isStrings } from "./zygotes/saved.ts";
import type { FitRecord } from "./zygotes/fit-problem.ts";

/** What is recorded of one invocation. */
export interface TraceRecord {
  readonly invocationId: string;
  readonly function: string;
  /** What the lambda may import. */
  readonly set: PackageSet;
  /** When it came, in ms since 1970. */
  readonly atMs: number;
  /** Waiting for a slot or its turn. */
  readonly queueMs: number;
  readonly runMs: number;
  readonly sandbox: string;
  /** What the sandbox held at the end, in MB; undefined if it was not measured. */
  readonly memoryMb?: number | undefined;
  /** Only of the first invocation of a sandbox. */
  readonly cold?: ColdTrace | undefined;
}

/** How a sandbox was started. */
export interface ColdTrace {
  readonly memoryMs: number;
  readonly forkMs: number;
  readonly importMs: number;
  /** The zygote that it was forked from; undefined: the root. */
  readonly node: NodeId | undefined;
  /** What it imported itself, by pin, as its guest says. */
  readonly costs?: ReadonlyMap<PinId, Cost> | undefined;
}

/** A line of a trace is no longer than this: who wrote a longer one wrote no trace. */
export const MOST_LINE_CHARS = 1_048_576;

/**
 * One line of JSON, without its end. Names and units are those of the records of ReqBench (github.com/open-lambda/ReqBench,
 * `LatencyRecord` for OpenLambda and Docker) where it has one for the thing: `invoke_id`, `req`, `start_create`,
 * `end_create`, `start_import`, `end_import`, `start_execute`, `end_execute` (ms since 1970; 0 for what there was none of),
 * `split_gen` (the zygote; -1: the root), `zygote_miss` (1: nothing that was declared came from a zygote), `sb_id`, `mem`
 * (bytes). What it has none for are our own: `function`, `pins`, `queue_ms`, `memory_ms` (waiting for memory), `cold`, and of
 * a cold start `requires` and `costs` (pin to [ms, MB]), which `ol-admin zygotes fit` needs.
 */
export const formatTrace = (record: TraceRecord): string => {
  const { set, cold } = record;
  const createdMs = record.atMs + record.queueMs + (cold?.memoryMs ?? 0);
  const forkedMs = createdMs + (cold?.forkMs ?? 0);
  const importedMs = forkedMs + (cold?.importMs ?? 0);
  const times =
    cold === undefined
      ? { start_create: 0, end_create: 0, start_import: 0, end_import: 0 }
      : { start_create: createdMs, end_create: forkedMs, start_import: forkedMs, end_import: importedMs };
  return JSON.stringify({
    invoke_id: record.invocationId,
    function: record.function,
    cold: cold !== undefined,
    req: record.atMs,
    queue_ms: record.queueMs,
    memory_ms: cold?.memoryMs ?? 0,
    ...times,
    start_execute: importedMs,
    end_execute: importedMs + record.runMs,
    split_gen: cold?.node ?? -1,
    zygote_miss: cold !== undefined && cold.node === undefined && set.pins.length > 0 ? 1 : 0,
    sb_id: record.sandbox,
    mem: record.memoryMb === undefined ? null : Math.round(record.memoryMb * 1_048_576),
    pins: set.pins,
    ...(cold === undefined ? {} : { requires: requiresOf(set), costs: costsOf(cold) }),
  });
};

const requiresOf = ({ requires }: PackageSet): unknown =>
  Object.fromEntries([...requires].filter(([, needed]) => needed.length > 0));

const costsOf = ({ costs }: ColdTrace): unknown =>
  Object.fromEntries([...(costs ?? [])].map(([pin, { ms, mb }]) => [pin, [ms, mb]]));

/** What a line says to who fits a tree: a start, `undefined` for an invocation that needed none, or why it says nothing. */
export const parseTraceStart = (line: string): FitRecord | undefined | string => {
  if (line.length > MOST_LINE_CHARS) return `longer than ${MOST_LINE_CHARS} characters`;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return "no JSON";
  }
  if (!isRecord(value)) return "no JSON object";
  const { pins, cold } = value;
  if (!isStrings(pins) || !pins.every(isPin)) return "`pins` is no list of name==version+hash";
  if (typeof cold !== "boolean") return "`cold` is neither true nor false";
  if (!cold) return undefined;
  const requires = parseMap(value["requires"], isStrings);
  if (requires === undefined) return "`requires` is no object of lists of pins";
  const costs = parseMap(value["costs"], isCost);
  if (costs === undefined) return "`costs` is no object of [ms, MB]";
  const set = { key: [...pins].sort().join(" "), pins, requires };
  return { set, costs: new Map([...costs].map(([pin, [ms, mb]]) => [pin, { ms, mb }])) };
};

const isPin = (pin: string): boolean => /^[^=\s]+==[^\s]+\+[0-9a-f]{12}$/u.test(pin);

const isCost = (value: unknown): value is [number, number] =>
  Array.isArray(value) && value.length === 2 && value.every(isNumber);

const parseMap = <T>(
  value: unknown,
  is: (value: unknown) => value is T,
): ReadonlyMap<string, T> | undefined => {
  if (!isRecord(value)) return undefined;
  const map = new Map<string, T>();
  for (const [key, item] of Object.entries(value)) {
    if (!is(item)) return undefined;
    map.set(key, item);
  }
  return map;
};
