import type { ListRequest } from "../object-store.ts";

import type { SortedKeys } from "./sorted-keys.ts";
import { compareUtf8 } from "./utf8-order.ts";

/** One page of a listing of any sorted keys. */
export interface Listed<Value> {
  readonly values: readonly Value[];
  readonly commonPrefixes: readonly string[];
  /** The last key or common prefix of this page, if there is more after it. */
  readonly next?: string;
}

/**
 * What a listing shows of `keys`: those that begin with `prefix`; those that have the delimiter after the prefix are shown as one
 * common prefix, and skipped as one. In all at most `limit`, and only what is after `after`, a common prefix as well as a key.
 */
export const listKeys = <Value>(keys: SortedKeys<Value>, request: ListRequest): Listed<Value> => {
  const { prefix, delimiter, after, limit } = request;
  const values: Value[] = [];
  const commonPrefixes: string[] = [];
  let last = "";
  let place = Math.max(keys.lowerBound(prefix), after === "" ? 0 : keys.lowerBound(after));
  for (;;) {
    const key = keys.keyAt(place);
    if (key === undefined || !key.startsWith(prefix)) return { values, commonPrefixes };
    const common = commonPrefixOf(key, prefix, delimiter);
    const entry = common ?? key;
    if (after === "" || compareUtf8(entry, after) > 0) {
      if (limit === 0) return { values, commonPrefixes };
      if (values.length + commonPrefixes.length === limit) return { values, commonPrefixes, next: last };
      if (common === undefined) values.push(keys.get(key) as Value);
      else commonPrefixes.push(common);
      last = entry;
    }
    place = common === undefined ? place + 1 : keys.afterPrefix(common);
  }
};

const commonPrefixOf = (key: string, prefix: string, delimiter: string): string | undefined => {
  if (delimiter === "") return undefined;
  const at = key.indexOf(delimiter, prefix.length);
  return at === -1 ? undefined : key.slice(0, at + delimiter.length);
};
