import type { ListRequest } from "../../src/index.ts";

/** A listing as its definition says it, without regard for time. */
export const naiveListing = (
  keys: Iterable<string>,
  { prefix, delimiter, after, limit }: ListRequest,
): { keys: string[]; commonPrefixes: string[]; next?: string } => {
  const entries = new Map<string, "key" | "common prefix">();
  for (const key of keys) {
    if (!key.startsWith(prefix)) continue;
    const end = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    if (end === -1) entries.set(key, "key");
    else entries.set(key.slice(0, end + delimiter.length), "common prefix");
  }
  const sorted = [...entries]
    .filter(([entry]) => after === "" || byBytes(entry, after) > 0)
    .sort(([a], [b]) => byBytes(a, b));
  const page = sorted.slice(0, limit);
  const of = (kind: string): string[] => page.filter((entry) => entry[1] === kind).map(([entry]) => entry);
  const last = page.at(-1)?.[0];
  const more = last !== undefined && sorted.length > page.length;
  return { keys: of("key"), commonPrefixes: of("common prefix"), ...(more ? { next: last } : {}) };
};

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
